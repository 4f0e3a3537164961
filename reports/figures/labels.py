"""Names beside a plot: names do not overlap, and the lines that lead to them do not cross."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import combinations

Point = tuple[float, float]

FOLDED = 17
"""Characters on a line of a name in a narrow figure."""


def heights(wanted: Sequence[float], gap: float) -> list[float]:
    """Return heights in [0, 1] near those wanted, in their order, at least a gap apart where there is room.

    Args:
        wanted: ascending.
        gap: least distance; reduced if not all names would fit.
    """
    if not wanted:
        return []
    gap = min(gap, 1.0 / max(1, len(wanted) - 1))
    places: list[float] = []
    for height in wanted:
        places.append(max(height, places[-1] + gap) if places else max(height, 0.0))
    top = 1.0
    for at in range(len(places) - 1, -1, -1):
        places[at] = min(places[at], top)
        top = places[at] - gap
    return places


def uncrossed(points: Sequence[Point], places: Sequence[Point]) -> list[int]:
    """Return for every point the number of a place so that no two lines from point to place cross.

    Where two cross, their places are exchanged, which makes both together shorter, so that it ends.
    """
    order = list(range(len(points)))
    crossing = True
    while crossing:
        crossing = False
        for first, second in combinations(range(len(points)), 2):
            one = (points[first], places[order[first]])
            other = (points[second], places[order[second]])
            if _cross(*one, *other):
                order[first], order[second] = order[second], order[first]
                crossing = True
    return order


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Tell whether the inner parts of the lines from a to b and from c to d meet."""
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def folded(name: str, width: int) -> str:
    """Return a name on lines of at most so many characters, broken where it has a dash or a space."""
    pieces = textwrap.wrap(name, width, break_on_hyphens=True)
    return "\n".join(pieces) or name
