"""Accuracy curves from one pass: where each image broke, as a falling step function. No torch here.

A run notes for every image how many points an attack had tried when it first broke it, in which fresh start
that was, what it had spent by then, and how large the perturbation is. Robust accuracy after fewer points,
tries or passes, or within a smaller radius, follows from that without another attack.

What such a curve means. At x it shows the share of images that *this* attack had not broken by x. A 100-step
PGD stopped after 20 steps is in general not a 20-step PGD, whose step size would be another; with the same
fixed step size the two are equal. An image counts as broken only if the judge found it broken in the end, so
a curve ends at the number of the table, and in a joint graph, where one batch is proposed for all, it shows
when each image that fell in this batch had fallen for the first time.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from robench.record.schema import Record, Status
from robench.record.statistics import wilson_band

Breaks = Mapping[int, float]
"""Image to where it broke: 0 if it was wrong from the start, inf if it stood to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Robust accuracy as a falling step function of x.

    Attributes:
        x: where it changes, rising, from 0.
        robust: how many images stand at x[j], and on to before x[j + 1].
        n: how many images there are.
        end: how far was looked, inf for without limit; beyond it nothing is known.
    """

    x: tuple[float, ...]
    robust: tuple[int, ...]
    n: int
    end: float

    def standing(self, x: float) -> int:
        """Return how many images stand at x, which is at least 0."""
        return self.robust[bisect_right(self.x, x) - 1]

    def reached(self, share: float) -> float | None:
        """Return the smallest x at which so large a share of the images is broken, None if none is.

        With x a radius: the quantile of the smallest perturbations, of which 0.5 is the median.
        """
        for x, robust in zip(self.x, self.robust, strict=True):
            if self.n - robust >= share * self.n - 1e-9:
                return x
        return None

    def band(self) -> tuple[tuple[float, float], ...]:
        """Return the 95 % Wilson interval at every x[j]; one for each x, not for all at once."""
        return wilson_band(self.robust, self.n)

    def up_to(self, x: float) -> Curve:
        """Return the curve up to x, or as far as was looked."""
        count = max(bisect_right(self.x, x), 1)
        return Curve(x=self.x[:count], robust=self.robust[:count], n=self.n, end=min(x, self.end))

    def thinned(self, most: int) -> Curve:
        """Return the curve at no more than `most` of its places, the first and the last among them."""
        count = len(self.x)
        if count <= most:
            return self
        places = sorted({round(j * (count - 1) / (most - 1)) for j in range(most)})
        x, robust = tuple(self.x[j] for j in places), tuple(self.robust[j] for j in places)
        return Curve(x=x, robust=robust, n=self.n, end=self.end)


def curve_of(breaks: Breaks, *, end: float) -> Curve:
    """Return the curve of where images broke.

    Example:
        >>> curve_of({7: 0.0, 8: 2.0, 9: math.inf}, end=5.0)
        Curve(x=(0.0, 2.0), robust=(2, 1), n=3, end=5.0)
    """
    order = sorted(breaks.values())
    x = sorted({0.0, *(value for value in order if value < math.inf)})
    robust = tuple(len(order) - bisect_right(order, value) for value in x)
    return Curve(x=tuple(map(float, x)), robust=robust, n=len(order), end=max(float(end), float(x[-1])))


def over_points(records: Iterable[Record]) -> Curve | None:
    """Return robust accuracy by how many points were tried on each image: steps, or queries.

    Of several records of an image (gradient sources) each tries so many; the first success counts. A gradient
    attack that starts at the clean image has made k steps after k + 1 points. An image that only the judge
    found broken fell to the last point, which its attack had not asked about.

    Args:
        records: white-box records of one model under one threat.

    Returns:
        None if an attack's points were not seen: a library is overheard where it asks about a whole batch.
    """
    return _side_by_side(_rows(records, "first_success", "points"), last=1)


def over_tries(records: Iterable[Record]) -> Curve | None:
    """Return robust accuracy by the number of fresh starts (restarts) an attack may make on each image.

    Args:
        records: white-box records of one attack on one model under one threat.

    Returns:
        None if an attack's points were not seen.
    """
    return _side_by_side(_rows(records, "first_try", "tries"), last=0)


def over_passes(groups: Iterable[Sequence[Record]]) -> Curve | None:
    """Return robust accuracy by forwards plus backwards spent on each image, one cell after another.

    As if each image had been attacked by the cells in turn and left alone once broken; that needs no such
    run, for what a cell spends on an image does not depend on the others. A success that was not seen, as
    at the last point, is placed at the cell's end.

    Args:
        groups: white-box records of one model under one threat; those of one (attack, gradient source) each.

    Returns:
        None if a record is of an earlier version, which did not note what a success had cost.
    """
    breaks: dict[int, float] = {}
    spent: dict[int, float] = {}
    for cell in groups:
        for record in cell:
            columns = record.columns
            costs = map(float.__add__, map(float, columns.forwards), map(float, columns.backwards))
            successes = zip(columns.first_success, columns.first_passes, costs, strict=True)
            for (index, right, stands), (first, passes, cost) in zip(
                _verdicts(record), successes, strict=True
            ):
                if breaks.get(index, math.inf) < math.inf:
                    continue
                if not right:
                    breaks[index] = 0.0
                elif stands:
                    breaks[index] = math.inf
                    spent[index] = spent.get(index, 0.0) + cost
                elif first and not passes:
                    return None
                else:
                    breaks[index] = spent.get(index, 0.0) + (passes or cost)
    return curve_of(breaks, end=max(spent.values(), default=0.0)) if breaks else None


def smallest_perturbations(records: Iterable[Record]) -> Breaks | None:
    """Return the size of the smallest perturbation that broke each image, in the norm of the threat.

    Every admissible point that breaks an image breaks it at every larger radius, so the smallest one over all
    records counts, whichever attack and source it comes from.

    Args:
        records: of one model under one norm and goal, at any radius, transferred images included.

    Returns:
        None if the norm's sizes are not kept: only those of L2 and Linf are.
    """
    breaks: dict[int, float] = {}
    for record in records:
        sizes = {"L2": record.columns.l2, "Linf": record.columns.linf}.get(record.threat.norm)
        if sizes is None:
            return None
        eps = radius_of(record)
        for (index, right, stands), size in zip(_verdicts(record), sizes, strict=True):
            # An admitted point may lie beyond the radius by rounding: it counts as on it.
            broke = math.inf if stands else min(size, eps) if right else 0.0
            breaks[index] = min(breaks.get(index, math.inf), broke)
    return breaks


def over_eps(records: Sequence[Record]) -> Curve | None:
    """Return robust accuracy by radius: the distribution of the smallest perturbations found.

    An upper bound of the accuracy at every radius, as every number of an attack is, for the images on which
    small perturbations were looked for, as far as that was done.

    Args:
        records: of one model under one norm and goal, at any radius, transferred images included.

    Returns:
        None if no attack of them looked for small perturbations, or the norm's sizes are not kept.
    """
    looked = [record for record in records if record.attack.minimises]
    breaks = smallest_perturbations(records)
    if not looked or breaks is None:
        return None
    furthest = max(radius_of(record) for record in looked)
    images = {i for record in looked if radius_of(record) == furthest for i in record.columns.index}
    reachable = {i: breaks[i] if breaks[i] <= furthest else math.inf for i in images}
    return curve_of(reachable, end=furthest)


def radius_of(record: Record) -> float:
    """Return the radius of a record's threat, inf for none."""
    return float(record.threat.eps)


def _verdicts(record: Record) -> Iterator[tuple[int, bool, bool]]:
    """Yield each image, whether it was right before the attack, and whether it stands."""
    columns = record.columns
    for index, label, clean, status in zip(
        columns.index, columns.label, columns.clean, columns.status, strict=True
    ):
        yield index, clean == label, clean == label and status == Status.ROBUST


def _rows(
    records: Iterable[Record], first: str, total: str
) -> Iterator[tuple[tuple[int, bool, bool], int, int]]:
    """Yield each image's verdict, where its first success was, and how far its attack went."""
    for record in records:
        firsts, totals = getattr(record.columns, first), getattr(record.columns, total)
        yield from zip(_verdicts(record), firsts, totals, strict=True)


def _side_by_side(rows: Iterable[tuple[tuple[int, bool, bool], int, int]], *, last: int) -> Curve | None:
    """Return the curve of first successes; one that was not seen came `last` after the total."""
    breaks: dict[int, float] = {}
    end = 0
    for (index, right, stands), first, total in rows:
        end = max(end, total)
        if not right:
            broke = 0.0
        elif stands:
            broke = math.inf
        elif first or total:
            broke = float(first or total + last)
        else:
            return None
        breaks[index] = min(breaks.get(index, math.inf), broke)
    return curve_of(breaks, end=end) if breaks and end else None
