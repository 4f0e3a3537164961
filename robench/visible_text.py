"""The one way any text reaches a reader: what is invisible is written out.

So no name drives a terminal, breaks an XML file, or passes for another name.
"""

from __future__ import annotations

import unicodedata

_SEEN = {"Zs"}
"""Kinds of signs that Python calls unprintable and every reader shows: spaces of other widths."""


def visible(text: str, *, keep: str = "") -> str:
    r"""Return text with everything invisible written out: controls, direction marks, surrogates.

    Args:
        text: any text.
        keep: signs to leave as they are, such as a line break.

    Example:
        >>> visible("a" + chr(27) + "[31m" + chr(10) + "b" + chr(0xFFFE))
        'a\\x1b[31m\\nb\\ufffe'
    """
    if text.isprintable():
        return text
    return "".join(sign if sign in keep else _shown(sign) for sign in text)


def _shown(sign: str) -> str:
    if sign.isprintable() or unicodedata.category(sign) in _SEEN:
        return sign
    return sign.encode("unicode_escape").decode("ascii")
