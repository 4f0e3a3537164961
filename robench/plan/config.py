"""A configuration becomes a plan: find the file, apply overrides, read it, look up what it names."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from robench.errors import ConfigError, nearest
from robench.plan.resolution import resolve
from robench.plan.spec import Plan
from robench.plan.yaml_reader import Document, Key, read_file, read_text, read_value

YAML = (".yaml", ".yml")
"""How the name of a configuration file ends."""
SUITES = Path(__file__).parents[1] / "suites"


def suites() -> list[str]:
    """Return the names of the configurations that ship with robench."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def locate(name: str) -> Path:
    """Return the file of a configuration: a path, or the name of a suite that ships with robench.

    Raises:
        ConfigError: neither; names the nearest suites.
    """
    path = Path(name)
    if name not in suites() and (path / "config.yaml").is_file():
        # Not its config.yaml: relative paths in it start where the original lies.
        do = "Name the configuration that it was made from"
        raise ConfigError(where=name, expected="a configuration file", got="a run folder", do=do)
    if path.suffix or path.name != name:
        if path.suffix in YAML and not path.exists():
            raise _no_such_file(path)
        return path
    if name not in suites():
        if path.is_file():
            return path
        near = nearest(name, suites())
        do = f"{near}{'' if near.endswith('?') else '.'} A file's name ends in .yaml"
        raise ConfigError(expected="a configuration file or the name of a suite", got=repr(name), do=do)
    return SUITES / f"{name}.yaml"


def _no_such_file(path: Path) -> ConfigError:
    """Return the error for a missing file; it names files and suites with similar names."""
    folder = path.parent
    files = [one for one in folder.iterdir() if one.suffix in YAML] if folder.is_dir() else []
    near = nearest(path.stem, {*suites(), *(one.stem for one in files)})
    for file in files:
        near = near.replace(repr(file.stem), repr(str(file)))
    expected, do = "a readable configuration file", near if near.endswith("?") else ""
    return ConfigError(where=str(path), expected=expected, got="No such file or directory", do=do)


def load(name: str, overrides: list[str] | None = None) -> Plan:
    """Return the plan of a configuration file or a suite.

    Args:
        name: path of a YAML file, or a suite's bare name.
        overrides: `path.to.key=value` each, the value in YAML.

    Raises:
        ConfigError: what is wrong, in which file and line, and the nearest valid name.
        PluginError: a plugin it names is unknown or cannot be used.
    """
    path = locate(name)
    return parse(read_file(path), file=path, overrides=overrides)


def parse(text: str, *, file: Path, overrides: list[str] | None = None) -> Plan:
    """Return the plan of a configuration's text.

    Args:
        text: YAML.
        file: where it was read, for messages, the default name, and the start of relative paths.
        overrides: `path.to.key=value` each.

    Raises:
        ConfigError: what is wrong, in which file and line, and the nearest valid name.
        PluginError: a plugin it names is unknown or cannot be used.
    """
    document = read_text(text, source=str(file))
    for line in overrides or []:
        document = override(document, line)
    return _plan(document, file)


def from_dict(data: dict[str, Any], *, folder: Path | None = None, source: str = "configuration") -> Plan:
    """Return the plan of a configuration given as plain data, with the same checks as for a file.

    Args:
        data: the contents of the YAML.
        folder: where relative paths start, by default the current folder.
        source: its name in messages.

    Raises:
        ConfigError: what is wrong, and the nearest valid name.
        PluginError: a plugin it names is unknown or cannot be used.
    """
    file = (folder or Path.cwd()) / "plan"
    return _plan(Document(copy.deepcopy(data), source), file)


def _plan(document: Document, file: Path) -> Plan:
    from robench.plan.grammar import read  # pydantic is not loaded on the way to `--help`

    return resolve(read(document), document, file)


def override(document: Document, text: str) -> Document:
    """Return the document with one `path.to.key=value` applied.

    Raises:
        ConfigError: it is not of this form, or its path leads to a place without keys.
    """
    source = f"--set {text}"
    path, equals, value = text.partition("=")
    parts = [part.strip() for part in path.split(".")]
    if not equals or not all(parts):
        raise ConfigError(where=source, expected="path.to.key=value", got=repr(text))
    data = copy.deepcopy(document.data)
    new = read_value(value, source=source)
    holder: Any = data
    key: Key = ()
    for depth, part in enumerate(parts):
        step: str | int = part
        if isinstance(holder, list):
            if not part.isdecimal() or int(part) >= len(holder):
                expected = f"a position from 0 to {len(holder) - 1} in {'.'.join(parts[:depth])}"
                raise ConfigError(where=source, expected=expected, got=repr(part))
            step = int(part)
        elif not isinstance(holder, dict):
            got = f"{holder!r} at {'.'.join(parts[:depth])!r}"
            raise ConfigError(where=source, expected="a mapping or a list to set a key in", got=got)
        key = (*key, step)
        if depth == len(parts) - 1:
            holder[step] = new
        else:
            inner = holder.get(step) if isinstance(holder, dict) else holder[step]
            if inner is None:
                inner = {}
            elif inner == parts[depth + 1]:
                inner = {inner: {}}  # `defense: natural` is short for `defense: {natural: {}}`
            holder[step] = holder = inner
    return Document(data, document.source, {**document.places, key: source})
