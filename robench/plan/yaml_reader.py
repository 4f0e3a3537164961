"""Strict YAML 1.2: reads text into plain data, with the place of every value. No torch here.

The parser's events are read one by one instead of loading the document, so that no tag can make an object,
no alias can grow without limit, and every value knows its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robench.errors import ConfigError
from robench.intake.limits import CONFIGURATION
from robench.intake.regular_file import read_regular

MAX_ALIASES = 1000
MAX_DEPTH = 50
MAX_VALUES = 100_000
"""How many values a document may have once its aliases are written out (a few aliases can mean billions)."""

Key = tuple[str | int, ...]
"""The path of a value: mapping keys and list positions from the root."""

_CORE = "tag:yaml.org,2002:"
_CORE_TAGS = {f"{_CORE}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}
# YAML 1.2.2, section 10.3.2: `no`, `12:30:45` and `2026-11-23` are text, `1e-3` is a number.
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_BAD_YAML = (
    ValueError,
    OverflowError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    RecursionError,
)
"""Errors that ruamel raises, beside its own, for bad escapes, directives and versions."""
_MOST_DIGITS = 1000
_LONGEST_TAG = 50_000  # ruamel's time for a tag is quadratic in its length
_LONGEST = 200
"""Most characters of a file that a message repeats."""
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data read from YAML.

    Attributes:
        data: mappings with text keys, lists, text, numbers, booleans and None.
        source: the file's name, or the name of the text in messages.
        places: the place (`file:line`) of every value, by its path.
    """

    data: Any
    source: str
    places: dict[Key, str] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """Return `file:line` of the value at a path, or of the nearest value around it.

        A position in something that is not a list is ignored: one value may be short for a list of it.
        """
        value: Any = self.data
        place = self.places.get((), self.source)
        path: Key = ()
        for step in key:
            if isinstance(value, list) and isinstance(step, int):
                value = value[step]
            elif isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            else:
                continue
            path = (*path, step)
            place = self.places.get(path, place)
        return place


def read_file(path: Path) -> str:
    """Return the text of a configuration file.

    Raises:
        ConfigError: missing, not a file, larger than 1 MB, or not UTF-8.
    """
    raw = read_regular(path, CONFIGURATION, error=ConfigError, expected="a readable configuration file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            where=f"{path}:{line}", expected="text in UTF-8", got=f"byte 0x{raw[error.start]:02x}"
        ) from None


def read_text(text: str, *, source: str) -> Document:
    """Read one YAML document.

    Args:
        text: the document.
        source: the file's name, for messages.

    Raises:
        ConfigError: not YAML, empty, more than one document, a tag that is not core YAML, a duplicate key, a
            key that is not text, or larger, deeper or with more aliases than any configuration needs.
    """
    _refuse_large(len(text.encode("utf-8", "replace")), source)
    document = _Reader(text, source).document()
    if document.data is None:
        raise ConfigError(where=document.where(()), expected="a configuration", got="an empty document")
    return document


def read_value(text: str, *, source: str) -> Any:
    """Return the value that a piece of YAML means; no text at all means None."""
    _refuse_large(len(text.encode("utf-8", "replace")), source)
    return _Reader(text, source).document().data if text.strip() else None


def _refuse_large(size: int, where: str) -> None:
    CONFIGURATION.check(size, where=where, error=ConfigError)


class _Reader:
    """Builds one document from the parser's events; anchors are kept as lists of events and replayed."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.places: dict[Key, str] = {}
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.heights: dict[int, int] = {}
        self.aliases = self.values = 0
        self.events = self._parse(text)

    def fail(self, line: int, *, expected: str, got: str, do: str = "") -> ConfigError:
        short = got if len(got) <= _LONGEST else f"{got[:_LONGEST]}..."
        return ConfigError(where=f"{self.source}:{line}", expected=expected, got=short, do=do)

    def _parse(self, text: str) -> Iterator[Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        line = 1
        if any(len(word) > _LONGEST_TAG and "!" in word for word in text.split()):
            expected, got = f"tags and words of at most {_LONGEST_TAG} characters", "a longer one with '!'"
            raise ConfigError(where=self.source, expected=expected, got=got)
        try:
            for event in YAML(typ="safe", pure=True).parse(text):
                line = event.start_mark.line + 1
                yield event
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else line
            what = " ".join(str(part) for part in (error.context, error.problem) if part)
            raise self.fail(line, expected="YAML 1.2", got=what) from None
        except (YAMLError, *_BAD_YAML) as error:
            got = str(error).split("\n", maxsplit=1)[0]
            raise self.fail(line, expected="YAML 1.2", got=got or type(error).__name__) from None

    def document(self) -> Document:
        """Return the one document of the text."""
        from ruamel.yaml.events import DocumentStartEvent, StreamEndEvent

        next(self.events)
        start = next(self.events)
        if isinstance(start, StreamEndEvent):
            raise self.fail(1, expected="a configuration", got="an empty file")
        if start.version not in {None, (1, 2)}:
            raise self.fail(start.start_mark.line + 1, expected="YAML 1.2", got="a directive for another")
        data = self.value(next(self.events), ())
        next(self.events)
        after = next(self.events)
        if isinstance(after, DocumentStartEvent):
            raise self.fail(after.start_mark.line + 1, expected="one YAML document", got="a second one")
        return Document(data, self.source, self.places)

    def value(self, event: Any, key: Key) -> Any:
        """Return the value that starts with this event; depth is bounded, so recursion is."""
        from ruamel.yaml.events import AliasEvent, MappingStartEvent, ScalarEvent

        line = event.start_mark.line + 1
        self.nest(len(key), line)
        self.count(1, line)
        self.places[key] = f"{self.source}:{line}"
        if isinstance(event, AliasEvent):
            return self.alias(event, key, line)
        tag = str(event.tag) if event.tag is not None else None
        if tag is not None and tag not in _CORE_TAGS:
            raise self.fail(
                line,
                expected="plain YAML without tags",
                got=f"the tag {tag!r}",
                do="Remove the tag: a configuration cannot make objects",
            )
        before = self.values
        value: Any
        if isinstance(event, ScalarEvent):
            value = self.scalar(event, tag, line)
        elif isinstance(event, MappingStartEvent):
            value = self.mapping(key)
        else:
            value = self.sequence(key)
        if isinstance(value, dict | list):
            parts = value.values() if isinstance(value, dict) else value
            self.heights[id(value)] = 1 + max((self.heights.get(id(part), 0) for part in parts), default=0)
        if event.anchor is not None:
            # How many values a copy adds is remembered: aliases of aliases multiply.
            self.anchors[event.anchor] = (value, self.values - before + 1)
        return value

    def count(self, values: int, line: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise self.fail(line, expected=f"at most {MAX_VALUES} values, aliases written out", got="more")

    def nest(self, depth: int, line: int) -> None:
        if depth > MAX_DEPTH:
            raise self.fail(line, expected=f"at most {MAX_DEPTH} levels of nesting", got="more")

    def alias(self, event: Any, key: Key, line: int) -> Any:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise self.fail(line, expected=f"at most {MAX_ALIASES} aliases", got="more")
        if event.anchor not in self.anchors:
            raise self.fail(line, expected="an anchor defined before its alias", got=f"*{event.anchor}")
        value, size = self.anchors[event.anchor]
        self.count(size, line)
        self.nest(len(key) + self.heights.get(id(value), 0), line)
        return value

    def mapping(self, key: Key) -> dict[str, Any]:
        from ruamel.yaml.events import MappingEndEvent, ScalarEvent

        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            line = event.start_mark.line + 1
            name = self.value(event, (*key, "?")) if isinstance(event, ScalarEvent) else None
            if not isinstance(name, str):
                got = repr(event.value) if isinstance(event, ScalarEvent) else "a list, mapping or alias"
                raise self.fail(line, expected="text as a key", got=got, do="Put the key in quotes")
            if name == "<<":
                raise self.fail(line, expected="a key", got="'<<', which YAML 1.2 does not merge")
            if name in mapping:
                raise self.fail(line, expected="each key once", got=f"{name!r} a second time")
            mapping[name] = self.value(next(self.events), (*key, name))
            # A message about a mapping's entry points at its key, which is where a reader looks.
            self.places[*key, name] = f"{self.source}:{line}"
        self.places.pop((*key, "?"), None)
        return mapping

    def sequence(self, key: Key) -> list[Any]:
        from ruamel.yaml.events import SequenceEndEvent

        items: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self.value(event, (*key, len(items))))
        return items

    def scalar(self, event: Any, tag: str | None, line: int) -> Any:
        text = str(event.value)
        if tag == f"{_CORE}str" or (tag is None and not event.implicit[0]):
            return text
        try:
            value = _plain(text)
        except ValueError:
            raise self.fail(
                line, expected="a number of reasonable length", got=f"{len(text)} digits"
            ) from None
        kind = {"int": int, "float": float, "bool": bool, "null": type(None)}.get((tag or "")[len(_CORE) :])
        if kind is not None and type(value) is not kind:
            raise self.fail(line, expected=f"a value of the tag {tag!r}", got=repr(text))
        return value


def _plain(text: str) -> Any:
    """Return what an unquoted scalar means in the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:  # Python reads longer ones in base 16, and cannot print them
            raise ValueError(f"{len(text)} digits")
        return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float("-inf" if text.startswith("-") else "inf")
    return text
