"""BibTeX text to entries and back: text of plugins is read strictly, the output has one form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from robench.errors import ConfigError

_HEAD = re.compile(r"@(\w+)\s*\{\s*([^\s,{}\"#%'()=~\\]+)\s*,")
_NAME = re.compile(r"\s*([A-Za-z][\w-]*)\s*=\s*")
_BARE = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    r"""One entry.

    Attributes:
        kind: such as `inproceedings`.
        key: what `\cite` names.
        fields: names in lower case to values without their outer braces or quotes.
    """

    kind: str
    key: str
    fields: dict[str, str]

    def __str__(self) -> str:
        """Return BibTeX, one field a line."""
        lines = [f"  {name} = {{{value}}}," for name, value in self.fields.items()]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])


def read_entries(text: str) -> list[Entry]:
    """Return the entries of a text in their order; text between them is a comment, as in BibTeX.

    Raises:
        ConfigError: an entry without a key, a field without a name or value, or braces that do not close.
    """
    entries = []
    at = text.find("@")
    while at >= 0:
        head = _HEAD.match(text, at)
        if head is None:
            raise _broken("`@kind{key, ...`", text, at)
        fields, end = _fields(text, head.end())
        entries.append(Entry(kind=head[1].lower(), key=head[2], fields=fields))
        at = text.find("@", end)
    return entries


def _fields(text: str, at: int) -> tuple[dict[str, str], int]:
    """Return the fields from a position on, and where the entry ends."""
    fields: dict[str, str] = {}
    while True:
        at = _past_space(text, at)
        if text[at : at + 1] == "}":
            return fields, at + 1
        name = _NAME.match(text, at)
        if name is None:
            raise _broken("`name = value` or a closing brace", text, at)
        value, at = _value(text, name.end())
        fields[name[1].lower()] = " ".join(value.split())
        at = _past_space(text, at)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "}":
            raise _broken("a comma or a closing brace", text, at)


def _value(text: str, at: int) -> tuple[str, int]:
    opening = text[at : at + 1]
    if opening not in {"{", '"'}:
        bare = _BARE.match(text, at)
        if bare is None:
            raise _broken("a value in braces or quotes", text, at)
        return bare[0], bare.end()
    depth = 0
    for here, sign in _signs(text, at):
        depth += (sign == "{") - (sign == "}")
        is_end = depth == 0 and (sign == "}" if opening == "{" else sign == '"' and here > at)
        if is_end:
            return text[at + 1 : here], here + 1
    raise _broken("braces that close", text, at)


def _signs(text: str, at: int) -> Iterator[tuple[int, str]]:
    """Yield positions and signs from a position on; a backslash hides the sign after it."""
    while at < len(text):
        yield at, text[at]
        at += 2 if text[at] == "\\" else 1


def _past_space(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _broken(expected: str, text: str, at: int) -> ConfigError:
    return ConfigError(where="BibTeX", expected=expected, got=repr(text[at : at + 40]))
