"""Ranks without a radius: by the median size of the smallest perturbations, not by survivors.

The median is over all images: an image that was wrong before counts as size 0. One over the broken images
alone would be larger for a model that is wrong more often.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping

from reports.board.board_types import Board, Row, may_have_rank
from reports.board.samples import Samples
from robench.record.measures.curves import smallest_perturbations
from robench.record.measures.statistics import SIGNIFICANCE, mcnemar

UNBROKEN = 2.0
"""Size of an unbroken image in a mean, in units of the largest change of the board."""


def median_of(row: Row, norm: str) -> float | None:
    """Return a row's median size in the norm of its board; None if an earlier version did not store it.

    It is over all images on a board that is ordered by size, and over the broken ones on any other.
    """
    if row.median_size is not None:
        return row.median_size
    return {"L2": row.median_l2, "Linf": row.median_linf}.get(norm, row.median_own)


def is_by_size(board: Board) -> bool:
    """Tell whether the rows of a board are ordered by size."""
    return math.isinf(board.eps) and any(median_of(row, board.norm) is not None for row in board.rows)


def by_size(samples: Samples, rows: Mapping[str, Row]) -> bool:
    """Tell whether the rows of a board are compared by size: no radius, and small changes found."""
    norm = samples.setting.threat.norm
    has_sizes = any(median_of(row, norm) is not None for row in rows.values())
    return samples.unbounded and bool(samples.labels) and has_sizes


def ranked_by_size(samples: Samples, rows: Mapping[str, Row]) -> tuple[Row, ...]:
    """Return rows by decreasing median size; a row that is not significantly easier to break shares a rank.

    The median is over all images, and so is the exact sign test (5 %) image by image: among images with
    different sizes, does the first row of the rank have the larger size significantly more often? Unbroken
    images have infinite size, images that were wrong before have size 0. Rows with the same median, such as
    all models that are more often wrong than right, are ordered by their mean size.
    """
    sizes = {target: smallest_perturbations(samples.judged(target)) or {} for target in rows}
    largest = max((one for own in sizes.values() for one in own.values() if one < math.inf), default=0.0)

    def order(item: tuple[str, Row]) -> tuple[float, float, float, str]:
        target, row = item
        own = list(sizes[target].values()) or [0.0]
        mean = statistics.fmean(min(size, UNBROKEN * largest) for size in own)
        clean = row.clean.value if row.clean else None
        return (-statistics.median(own), -mean, -(clean or 0.0), row.model)

    # Records of earlier versions do not have sizes in L1 or L0.
    medians = {target: statistics.median(own.values()) if own else None for target, own in sizes.items()}
    rows = {target: dataclasses.replace(row, median_size=medians[target]) for target, row in rows.items()}
    ranking: list[Row] = []
    rest: list[Row] = []
    first: Mapping[int, float] = {}
    for target, row in sorted(rows.items(), key=order):
        if not may_have_rank(row, samples.n):
            rest.append(row)
            continue
        rank = len(ranking) + 1
        if ranking and not _easier(first, sizes[target]):
            rank = ranking[-1].rank or rank
        else:
            first = sizes[target]
        ranking.append(dataclasses.replace(row, rank=rank))
    return (*ranking, *rest)


def _easier(first: Mapping[int, float], second: Mapping[int, float]) -> bool:
    """Tell whether the second has significantly smaller sizes, image by image."""
    pairs = [(first[index], second[index]) for index in first.keys() & second.keys()]
    larger, smaller = _count(a > b for a, b in pairs), _count(a < b for a, b in pairs)
    return larger > smaller and mcnemar(larger, smaller) < SIGNIFICANCE


def _count(flags: Iterable[bool]) -> int:
    return sum(map(bool, flags))
