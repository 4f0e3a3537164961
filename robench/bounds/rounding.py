"""Rounding errors of float64: the standard model, as outward margins (Higham 2002, section 3.1).

A sum of n products computed in any order differs from the exact one by at most gamma(n) times the sum of
their absolute values. Certificates are computed in float64 with these margins subtracted, so that they hold
for real numbers; float32 only searches good slopes, and every slope is valid.
"""

from __future__ import annotations

UNIT = 2.0**-53
"""Largest relative error of one operation in float64."""

SAFETY = 4.0
"""Safety factor for products of errors, and for rounding in the computation of the margins."""


def gamma(terms: int) -> float:
    """Return the relative margin of a sum of that many products."""
    return SAFETY * (terms + 2) * UNIT
