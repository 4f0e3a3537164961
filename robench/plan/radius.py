"""A radius as people write it: a number, a fraction such as `8/255`, or `inf`. No torch here."""

from __future__ import annotations

import math
import re
from typing import Any

from robench.errors import ConfigError

EXPECTED = "a number of at least 0, a fraction such as 8/255, or inf"
WHOLE = "a whole number of values that may change, or inf, as the radius of L0"


def read_radius(value: Any) -> tuple[float, str]:
    """Return a radius and its text.

    Raises:
        ValueError: it is none.
    """
    text = "inf" if value == math.inf else str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(text)
    numerator, slash, denominator = text.partition("/")
    try:
        eps = float(numerator) / float(denominator) if slash else float(text)
    except (ZeroDivisionError, OverflowError):
        raise ValueError(text) from None
    if not eps >= 0:
        raise ValueError(text)
    return eps, text.replace(" ", "")


def slip_in(text: str) -> str:
    """Return a question about a fraction such as `8/225`, a probable typo for 255; empty for any other.

    Multiples of ten, such as 200 or 250, and 256 are accepted as intended.
    """
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)/(2\d\d)", text)
    if not match or match[2] in {"255", "256"} or match[2].endswith("0"):
        return ""
    numerator = float(match[1])
    usual = f"{match[1]}/255, which is {numerator / 255:.4g}, is usual"
    return f"eps {text} is {numerator / int(match[2]):.4g}; {usual}: was that meant?"


def too_small(norm: str, eps: float, text: str) -> str:
    """Return a question about an Linf radius of less than half a grey level; empty for any other."""
    if norm != "Linf" or not 0 < eps < 0.5 / 255:
        return ""
    return f"eps {text} is {eps:.2g}, {255 * eps:.2g} of the 255 grey levels of a pixel: was that meant?"


def radius(value: Any, *, where: str = "eps") -> tuple[float, str]:
    """Return a radius and its text.

    Raises:
        ConfigError: it is none.
    """
    try:
        if not isinstance(value, str) and hasattr(value, "item"):  # of NumPy or torch
            value = value.item()
        eps, text = read_radius(value)
    except (ValueError, RuntimeError):
        raise ConfigError(where=where, expected=EXPECTED, got=repr(value)) from None
    return eps, text if isinstance(value, str) else f"{eps:g}"
