"""One mapping of a configuration, read key by key: strict types, and `file:line` in every message."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from robench.errors import ConfigError, nearest
from robench.plan.spec import Choice
from robench.plan.yaml_reader import Document, Key

REQUIRED: Any = object()
"""The default of a key that must be given."""

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping inside a document, and the path that leads to it."""

    values: dict[str, Any]
    key: Key
    document: Document

    def where(self, *keys: str | int) -> str:
        """Return `file:line` of one of its values, or of the section itself."""
        return self.document.where((*self.key, *keys))

    def fail(self, *keys: str | int, expected: str, got: str, do: str = "") -> ConfigError:
        """Return the error to raise about one of its values."""
        return ConfigError(where=self.where(*keys), expected=expected, got=got, do=do)

    def only(self, known: Collection[str], what: str) -> None:
        """Refuse a key that is not known.

        Raises:
            ConfigError: names the nearest known keys.
        """
        for name in self.values:
            if name not in known:
                raise self.fail(
                    name, expected=f"a key of {what}", got=repr(name), do=nearest(str(name), known)
                )

    def has(self, name: str) -> bool:
        """Tell whether a key is given and not null."""
        return self.values.get(name) is not None

    def _get(self, name: str, kind: type, default: Any) -> Any:
        if not self.has(name):
            if default is REQUIRED:
                raise self.fail(expected=f"the key {name!r}", got="none")
            return default
        value = self.values[name]
        # `true` is an int in Python; a whole number is a fine number in YAML.
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits or (kind is float and not math.isfinite(value)):
            raise self.fail(name, expected=f"{name}: {_KINDS[kind]}", got=repr(value))
        return value

    def text(self, name: str, default: Any = REQUIRED) -> Any:
        """Return text; numbers and `true` are refused rather than converted."""
        return self._get(name, str, default)

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        return bool(self._get(name, bool, default))

    def whole(self, name: str, default: Any = REQUIRED, *, least: int) -> Any:
        """Return a whole number of at least `least`."""
        value = self._get(name, int, default)
        if value is not None and value < least:
            raise self.fail(name, expected=f"{name}: a whole number of at least {least}", got=str(value))
        return value

    def one_of(self, name: str, allowed: Collection[str], default: Any = REQUIRED) -> str:
        """Return one of a few words."""
        value = str(self._get(name, str, default))
        if value not in allowed:
            raise self.fail(
                name,
                expected=f"{name}: one of {', '.join(allowed)}",
                got=repr(value),
                do=nearest(value, allowed),
            )
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a non-empty list of finite numbers."""
        items = self.items(name)
        for position, item in enumerate(items):
            if type(item) not in {int, float} or not math.isfinite(item):
                raise self.fail(name, position, expected=f"{name}: a list of numbers", got=repr(item))
        return tuple(float(item) for item in items)

    def items(self, name: str, default: Any = REQUIRED) -> list[Any]:
        """Return a non-empty list, or the default where the key is not given."""
        if not self.has(name):
            if default is REQUIRED:
                raise self.fail(expected=f"the key {name!r}", got="none")
            return list(default)
        value = self.values[name]
        if not isinstance(value, list):
            raise self.fail(name, expected=f"{name}: a list", got=repr(value), do="Start each item with '- '")
        if not value:
            raise self.fail(name, expected=f"{name}: at least one item", got="an empty list")
        return value

    def section(self, *keys: str | int, what: str) -> Section:
        """Return the mapping at a path below this one."""
        value: Any = self.values
        for key in keys:
            value = value[key]
        if not isinstance(value, dict):
            raise self.fail(*keys, expected=f"{what}: a mapping", got=repr(value))
        return Section(value, (*self.key, *keys), self.document)

    def choice(self, *keys: str | int, what: str, beside: Collection[str] = ()) -> Choice:
        """Return a plugin's name and options, from `name` or `{name: {option: value}}`.

        Args:
            keys: path of the value below this section.
            what: what is chosen, for messages.
            beside: keys that may stand next to the plugin's name.
        """
        value: Any = self.values
        for key in keys:
            value = value[key]
        where = self.where(*keys)
        if isinstance(value, str) and value:
            return Choice(name=value, where=where)
        names = [name for name in value if name not in beside] if isinstance(value, dict) else []
        if len(names) != 1:
            got = f"the keys {', '.join(map(repr, names))}" if names else repr(value)
            raise ConfigError(
                where=where,
                expected=f"{what}: a name, or {{name: {{option: value}}}} with one name",
                got=got,
                do="Indent the options below the name" if len(names) > 1 else "",
            )
        name = names[0]
        options = value[name]
        if options is not None and not isinstance(options, dict):
            raise self.fail(*keys, name, expected=f"the options of {name!r} as a mapping", got=repr(options))
        return Choice(name=name, options=dict(options or {}), where=self.where(*keys, name))
