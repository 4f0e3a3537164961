"""Accuracy curves from one run of an attack, as decreasing step functions. No torch here.

For every image a run stores how many points an attack had tried at its first success, the fresh start of the
success, the passes until then, and the size of the perturbation. This gives the robust accuracy after fewer
points, tries or passes, or within a smaller radius, without another attack.

What such a curve means. At x it shows the share of images that *this* attack had not broken by x. A 100-step
PGD stopped after 20 steps is in general not a 20-step PGD, which would have another step size; with the same
fixed step size the two are equal. An image counts as broken only if the judge found it broken in the end, so
a curve ends at the number of the table. In a joint graph, where one batch is proposed for all images, it
shows when each image that is broken in this batch had been broken for the first time.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robench.record.measures.statistics import wilson_band
from robench.record.schema import Record
from robench.record.status import robust_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Breaks = Mapping[int, float]
"""For each image the x at which it broke: 0 if it was wrong from the start, inf if it never broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Robust accuracy as a decreasing step function of x.

    Attributes:
        x: where it changes, increasing, from 0.
        robust: number of images that stand from x[j] on, before x[j + 1].
        n: number of images.
        end: largest x that was tested, inf for no limit; beyond it nothing is known.
    """

    x: tuple[float, ...]
    robust: tuple[int, ...]
    n: int
    end: float

    def standing(self, x: float) -> int:
        """Return how many images stand at x; x is at least 0."""
        return self.robust[bisect_right(self.x, x) - 1]

    def reached(self, share: float) -> float | None:
        """Return the smallest x at which at least this share of the images is broken, None if there is none.

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
        """Return the curve up to x, or up to its own end if that is smaller."""
        count = max(bisect_right(self.x, x), 1)
        return Curve(x=self.x[:count], robust=self.robust[:count], n=self.n, end=min(x, self.end))

    def thinned(self, most: int) -> Curve:
        """Return the curve at no more than `most` of its steps, including the first and the last."""
        count = len(self.x)
        if count <= most:
            return self
        places = sorted({round(j * (count - 1) / (most - 1)) for j in range(most)})
        x, robust = tuple(self.x[j] for j in places), tuple(self.robust[j] for j in places)
        return Curve(x=x, robust=robust, n=self.n, end=self.end)


def curve_of(breaks: Breaks, *, end: float) -> Curve:
    """Return the curve from the x at which each image broke.

    Example:
        >>> curve_of({7: 0.0, 8: 2.0, 9: math.inf}, end=5.0)
        Curve(x=(0.0, 2.0), robust=(2, 1), n=3, end=5.0)
    """
    import numpy as np

    return _curve(np.fromiter(breaks.values(), dtype=np.float64, count=len(breaks)), end=end)


def _curve(values: Floats, *, end: float) -> Curve:
    import numpy as np

    order = np.sort(values)
    x = np.unique(np.concatenate([[0.0], order[order < math.inf]]))
    robust = (len(order) - np.searchsorted(order, x, side="right")).tolist()
    places = x.tolist()
    return Curve(x=tuple(places), robust=tuple(robust), n=len(order), end=max(float(end), places[-1]))


def over_points(records: Iterable[Record]) -> Curve | None:
    """Return robust accuracy over the number of points tried on each image: steps, or queries.

    If an image has several records (gradient sources), each may try that many points; the first success
    counts. A gradient attack that starts at the clean image has made k steps after k + 1 points. An image
    that only the judge found broken was broken by the last point, which its attack had not evaluated.

    Args:
        records: white-box records of one model under one threat.

    Returns:
        None if an attack's points are unknown: points of a library are seen only if it queries whole batches.
    """
    return _side_by_side(records, "first_success", "points", last=1)


def over_tries(records: Iterable[Record]) -> Curve | None:
    """Return robust accuracy over the number of fresh starts (restarts) of an attack on each image.

    Args:
        records: white-box records of one attack on one model under one threat.

    Returns:
        None if an attack's points are unknown.
    """
    return _side_by_side(records, "first_try", "tries", last=0)


def over_passes(groups: Iterable[Sequence[Record]]) -> Curve | None:
    """Return robust accuracy over forwards plus backwards on each image, one cell after another.

    As if the cells had attacked each image in turn until it was broken. No such run is needed, because the
    passes of a cell on an image do not depend on the other cells. A success that the attack did not see, such
    as at the last point, is placed at the cell's end.

    Args:
        groups: white-box records of one model under one threat; one group per (attack, gradient source).

    Returns:
        None if a record is of an earlier version, which did not store the passes until a success.
    """
    import numpy as np

    every = [record for cell in groups for record in cell]
    if not every:
        return None
    shards = {id(one): one for one in (record.columns.array("index") for record in every)}
    images = _distinct(list(shards.values()))
    breaks, costs = np.full(len(images), math.inf), np.zeros(len(images))
    names = ("index", "forwards", "backwards", "first_success", "first_passes")
    for record in every:
        index, forwards, backwards, first, passes = record.columns.arrays(*names)
        right, stands = _verdicts(record)
        cost, places = forwards + backwards, np.searchsorted(images, index)
        alive = breaks[places] == math.inf
        falls = alive & right & ~stands
        if (falls & (first != 0) & (passes == 0)).any():
            return None
        at = costs[places] + np.where(passes != 0, passes, cost)
        breaks[places[alive & ~right]] = 0.0
        breaks[places[falls]] = at[falls]
        costs[places[alive & stands]] += cost[alive & stands]
    return _curve(breaks, end=float(costs.max(initial=0.0))) if len(images) else None


def smallest_perturbations(records: Iterable[Record]) -> Breaks | None:
    """Return the size of the smallest perturbation that broke each image, in the norm of the threat.

    Every admissible point that breaks an image breaks it at every larger radius, so the smallest one over all
    records counts, from any attack and source.

    Args:
        records: of one model under one norm and goal, at any radius, transferred images included.

    Returns:
        None if a size is not stored: records of earlier versions have only sizes in L2 and Linf.
    """
    import numpy as np

    pieces = []
    for record in records:
        name = size_column(record)
        index, sizes = record.columns.arrays("index", name)
        right, stands = _verdicts(record)
        if name == "distance" and (right & ~stands).any() and not sizes.any():
            return None
        # An admissible point may lie beyond the radius by rounding: its size counts as the radius.
        breaks = np.where(stands, math.inf, np.where(right, np.minimum(sizes, radius_of(record)), 0.0))
        pieces.append((index, breaks))
    images, least = _least(pieces)
    return dict(zip(images.tolist(), least.tolist(), strict=True))


def over_eps(records: Sequence[Record]) -> Curve | None:
    """Return robust accuracy over the radius: the distribution of the smallest perturbations found.

    Like every result of an attack, it is an upper bound of the accuracy at every radius, for the images and
    radii for which small perturbations were searched.

    Args:
        records: of one model under one norm and goal, at any radius, transferred images included.

    Returns:
        None if none of the attacks searched for small perturbations, or sizes in the norm are not stored.
    """
    searches = [record for record in records if record.attack.minimises]
    breaks = smallest_perturbations(records)
    if not searches or breaks is None:
        return None
    furthest = max(radius_of(record) for record in searches)
    images = {
        i
        for record in searches
        if radius_of(record) == furthest
        for i in record.columns.array("index").tolist()
    }
    reachable = {i: breaks[i] if breaks[i] <= furthest else math.inf for i in images}
    return curve_of(reachable, end=furthest)


def size_column(record: Record) -> str:
    """Return the name of the column that holds sizes in the norm of a record's threat."""
    return {"L2": "l2", "Linf": "linf"}.get(record.threat.norm, "distance")


def radius_of(record: Record) -> float:
    """Return the radius of a record's threat, inf for none."""
    return float(record.threat.eps)


def _verdicts(record: Record) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each image whether it was right before the attack, and whether it stands."""
    clean, label, status = record.columns.arrays("clean", "label", "status")
    right = clean == label
    return right, robust_images(status, right)


def _least(pieces: Sequence[tuple[NDArray[Any], Floats]]) -> tuple[NDArray[Any], Floats]:
    """Merge pairs of images and numbers: return all images, sorted, and the least number of each."""
    import numpy as np

    shards: dict[int, tuple[NDArray[Any], Floats]] = {}
    for index, values in pieces:
        if (entry := shards.get(id(index))) is None:  # records of one shard share their array
            shards[id(index)] = (index, values)
        else:
            shards[id(index)] = (index, np.minimum(entry[1], values))
    if not shards:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    in_order = sorted(shards.values(), key=lambda shard: int(shard[0][0]) if len(shard[0]) else -1)
    every = np.concatenate([index for index, _ in in_order])
    numbers = np.concatenate([values for _, values in in_order])
    if (every[1:] > every[:-1]).all():
        return every, numbers
    images, places = np.unique(every, return_inverse=True)
    least = np.full(len(images), math.inf)
    np.minimum.at(least, places, numbers)
    return images, least


def _distinct(shards: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the images of some shards, sorted; sorts only if needed."""
    import numpy as np

    every = np.concatenate(sorted(shards, key=lambda shard: int(shard[0]) if len(shard) else -1))
    return every if (every[1:] > every[:-1]).all() else np.unique(every)


def _side_by_side(records: Iterable[Record], first: str, total: str, *, last: int) -> Curve | None:
    """Return the curve of first successes; a success that was not seen is placed `last` after the total."""
    import numpy as np

    pieces, end = [], 0
    for record in records:
        index, firsts, totals = record.columns.arrays("index", first, total)
        right, stands = _verdicts(record)
        end = max(end, int(totals.max(initial=0)))
        falls = right & ~stands
        if (falls & (firsts == 0) & (totals == 0)).any():
            return None
        fell = np.where(firsts != 0, firsts, totals + last).astype(np.float64)
        pieces.append((index, np.where(falls, fell, np.where(stands, math.inf, 0.0))))
    _, least = _least(pieces)
    return _curve(least, end=end) if len(least) and end else None
