"""Shares of images of models that answer at random: means over fresh draws in place of counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reports.board.batches import over_batches
from reports.board.boards import DrawnShare, Share
from robench.record.draws import worst_of
from robench.record.schema import Record

if TYPE_CHECKING:
    import pandas as pd

Outcomes = dict[int, str]
"""Image to one 0 (fell) or 1 (stood) for each fresh draw, at the worst of its points."""


def is_drawn(table: pd.DataFrame) -> bool:
    """Tell whether any line is of a model that was judged under fresh draws."""
    return not table.empty and bool((table["stood"] != "").any())


def outcomes(table: pd.DataFrame, clean: pd.DataFrame | None = None) -> Outcomes:
    """Return how each image of the table fares at the worst of its points, in index order.

    Args:
        table: lines of attacks on one model, or of its clean images.
        clean: lines of its clean images, where the table is of attacks: who attacks may leave an image alone.
    """
    points: dict[int, list[tuple[str, bool]]] = {}
    asked = table[table["stood"] != ""]
    for index, stood, robust in zip(asked["index"], asked["stood"], asked["robust"], strict=True):
        points.setdefault(int(index), []).append((stood, bool(robust)))
    if clean is not None and not clean.empty:
        for index, stood, right in zip(clean["index"], clean["stood"], clean["right"], strict=True):
            if stood and int(index) in points:
                points[int(index)].append((stood, bool(right)))
    return {index: worst_of(found) for index, found in sorted(points.items())}


def robust_share(table: pd.DataFrame, clean: pd.DataFrame | None = None) -> Share | None:
    """Return the share of images that are robust in every line; over fresh draws if the model is random."""
    if is_drawn(table):
        return DrawnShare.of(list(outcomes(table, clean).values()))
    return one_draw_share(table)


def clean_share(table: pd.DataFrame) -> Share | None:
    """Return the share of clean images that are right; over draws if the model is random."""
    return robust_share(table) if is_drawn(table) else one_draw_share(table, "right")


def one_draw_share(table: pd.DataFrame, column: str = "robust") -> Share | None:
    """Return the share of images that are robust in every line, in the draw that was attacked."""
    if table.empty:
        return None
    worst = table.groupby("index")[column].all()
    return Share(int(worst.sum()), len(worst), over_batches(table, worst))


def draws_of(records: Iterable[Record]) -> int:
    """Return the number of fresh draws of some records of one model; 0 if it is not random."""
    return max((record.draws for record in records), default=0)
