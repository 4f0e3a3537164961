"""How far float64 may be off: the standard model of rounding, as outward margins (Higham 2002, section 3.1).

A sum of n products computed in any order differs from the exact one by at most gamma(n) times the sum of
their absolute values. Certificates are computed in float64 with these margins taken off, so that they hold
for real numbers; float32 only looks for good slopes, which are valid whatever they are.
"""

from __future__ import annotations

UNIT = 2.0**-53
"""Largest relative error of one operation in float64."""

SAFETY = 4.0
"""Covers products of errors, and that the margins themselves are computed in float64."""


def gamma(terms: int) -> float:
    """Return the relative margin of a sum of that many products."""
    return SAFETY * (terms + 2) * UNIT
