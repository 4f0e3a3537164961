"""Looks up the names in a configuration: plugins, files, and code in files. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robench import plugins
from robench.errors import ConfigError, PluginError
from robench.intake.user_code import check_defined
from robench.plan.spec import Choice, canonical
from robench.plan.yaml_reader import Document, Key
from robench.plugins import Kind
from robench.recipe import build, describe


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a value in a document."""

    document: Document
    key: Key = ()

    def at(self, *keys: str | int) -> Place:
        """Return the place of a value below this one."""
        return Place(self.document, (*self.key, *keys))

    @property
    def where(self) -> str:
        """File and line."""
        return self.document.where(self.key)

    def refusal(self, *, expected: str, got: str, do: str = "") -> ConfigError:
        """Return an error about the value at this place."""
        return ConfigError(where=self.where, expected=expected, got=got, do=do)


def plugin_of(kind: Kind, choice: Choice, options: Place) -> Any:
    """Return the recipe of a choice.

    Args:
        kind: the group of plugins.
        choice: name and options.
        options: the place of the options, for messages.

    Raises:
        PluginError: no such plugin.
        ConfigError: an option is unknown or wrong; points at the option's own line.
    """
    recipe = plugins.find(kind, choice.name, where=choice.where)
    options_of = describe(recipe)
    wrong = [name for name in choice.options if name not in options_of]
    necessities = [name for name, option in options_of.items() if option["default"] == "required"]
    if (absent := [name for name in necessities if name not in choice.options]) and not wrong:
        expected = f"the option {absent[0]!r} of {choice.name!r}, which has no default"
        raise ConfigError(where=choice.where, expected=expected, got="none")
    where = options.at(wrong[0]).where if wrong else choice.where
    try:
        canonical(choice.options)
        return build(recipe, choice.options, where=where)
    except ValueError:
        raise ConfigError(where=where, expected="finite numbers or inf as options", got="NaN") from None
    except PluginError as error:  # a dependency is not installed; the error has no line
        raise PluginError(where=choice.where, expected=error.expected, got=error.got, do=error.do) from None
    except ConfigError as error:
        # `build` names the option before the colon, a recipe's own refusal in `where`; neither knows a line.
        expected = f"{error.where}: {error.expected}" if error.where in choice.options else error.expected
        name = expected.split(":")[0]
        where = options.at(name).where if name in choice.options else where
        raise ConfigError(where=where, expected=expected, got=error.got, do=error.do) from None


def located(choice: Choice, place: Place) -> Choice:
    """Return a choice that knows the line of its name."""
    return replace(choice, where=place.at(choice.name).where)


def proper(kind: Kind, choice: Choice) -> Choice:
    """Return a choice with the listed name of its plugin, if it was given in another spelling."""
    return replace(choice, name=plugins.proper(kind, choice.name) or choice.name)


def file_of(key: str, text: str, place: Place, folder: Path) -> Path:
    """Return the absolute path of a file that exists; relative paths start at the configuration's folder."""
    try:
        path = (folder / Path(text).expanduser()).resolve()
        exists = path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, an unknown ~user, a NUL
        exists, path = False, Path(text)
    if not exists:
        do = "A relative path starts at the configuration file's folder"
        if (folder / "plan.json").is_file():  # what a run keeps beside its copy of the configuration
            do += "; this one is a run's copy: name the file that the run was made from"
        raise place.refusal(expected=f"{key}: a file", got=f"no file {str(path)!r}", do=do)
    return path


def user_code(choice: Choice, place: Place, folder: Path) -> Choice:
    """Return the choice of a function or class in a user's file, with the absolute path of the file.

    The file is not run: checks that need this are done later (`robench.run.layout`).
    """
    source, _, name = choice.name.rpartition(":")
    absolute = replace(located(choice, place), name=f"{file_of('code', source, place, folder)}:{name}")
    check_defined(absolute.name, where=absolute.where)
    try:
        canonical(choice.options)
    except ValueError:
        raise place.refusal(expected="finite numbers or inf as options", got="NaN") from None
    return absolute


def stage_of(defense: Choice) -> str:
    """Return whether an installed defense belongs to `training` or to `inference`."""
    return str(plugins.find("defenses", defense.name, where=defense.where).info.stage)
