"""The names of the norms, and how else people write them."""

from __future__ import annotations

NORMS = ("Linf", "L2", "L1", "L0")
"""The norms that robench judges under; `robench.attack.norms` measures and projects in each."""


def proper_norm(spelling: object) -> str:
    """Return the name of a norm: `Linf` for `linf`, `l_inf`, `inf` and infinity, `L2` for `l2` and 2.

    Any other text is returned as it is.
    """
    text = str(spelling).strip()
    plain = text.casefold().replace("_", "").replace("-", "").replace("infinity", "inf").removeprefix("l")
    number = plain.removesuffix(".0")
    return next((norm for norm in NORMS if norm[1:] == number), text)
