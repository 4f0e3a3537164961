"""A number with its noun, in the singular where it is one. No torch here."""

from __future__ import annotations

SIBILANTS = ("s", "x", "ch", "sh")
"""Endings whose plural takes another syllable, but for a ch that is spoken k."""

HARD = ("epoch",)


def counted(number: int, noun: str, *, digits: str = "") -> str:
    """Return a number with its noun, such as `1 image`, `2 images`.

    Args:
        number: how many.
        noun: in the singular; its last word is what is counted.
        digits: how the number is written, as in a format such as `,`.

    Example:
        >>> counted(1, "threat"), counted(2, "pass"), counted(0, "copy"), counted(1000, "day", digits=",")
        ('1 threat', '2 passes', '0 copies', '1,000 days')
    """
    return f"{number:{digits}} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a regular noun.

    Example:
        >>> plural("class"), plural("query"), plural("key"), plural("epoch")
        ('classes', 'queries', 'keys', 'epochs')
    """
    if noun.endswith(SIBILANTS) and not noun.endswith(HARD):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
