"""Paths inside a file of weights, such as `state_dict[0]` or `ema.module`. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robench.errors import ConfigError

Step = str | int
"""A name in a mapping, or a position in a list, counted from 0."""

_PLAIN = re.compile(r"[^\s.\[\]\"'`]+")
_BRACKET = re.compile(
    r"\[\s*(?:(?P<index>\d{1,9})|\"(?P<double>[^\"]+)\"|'(?P<single>[^']+)'|(?P<bare>[^\W\d][\w.-]*))\s*\]"
)
EXAMPLES = 'state_dict, ema.module, state_dict[0], [2] or checkpoint["net"]'


def parse_key(text: str, *, where: str = "") -> tuple[Step, ...]:
    """Return the steps of a path: names with dots between them, `[0]` for a position, `["a.b"]` for any name.

    Raises:
        ConfigError: not of this form.

    Example:
        >>> parse_key('ema.module[0]["a.b"]')
        ('ema', 'module', 0, 'a.b')
    """
    steps: list[Step] = []
    text, place = text.strip(), 0
    while place < len(text) or not steps:
        has_dot = bool(steps) and text[place] == "."
        if match := _BRACKET.match(text, place):
            index = match["index"]
            steps.append(int(index) if index else str(match["double"] or match["single"] or match["bare"]))
        elif (has_dot or not steps) and (match := _PLAIN.match(text, place + has_dot)):
            steps.append(match[0])
        else:
            expected = f"a path of names and positions, such as {EXAMPLES}"
            got = f"{text!r}, which breaks off before {text[place:]!r}" if steps else repr(text)
            raise ConfigError(where=where, expected=expected, got=got)
        place = match.end()
    return tuple(steps)


def key_text(steps: Sequence[Step]) -> str:
    """Return the text that `parse_key` reads as these steps.

    Example:
        >>> key_text(("ema", 0, "a.b"))
        'ema[0]["a.b"]'
    """
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"['{step}']" if '"' in step else f'["{step}"]'
    return text
