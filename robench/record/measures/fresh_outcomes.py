"""Outcomes of each image of a random model in fresh draws, at the worst of its points. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robench.record.measures.draws import worst_outcome
from robench.record.schema import Record
from robench.record.status import ROBUST

Outcomes = dict[int, str]
"""For each image one 0 (broken) or 1 (stood) per fresh draw, at the worst of its points."""


def outcomes(records: Sequence[Record], clean: Sequence[Record] = ()) -> Outcomes:
    """Return the outcomes of each image at the worst of its points, in index order.

    Args:
        records: of attacks on one model, or of its clean images; records without fresh draws are ignored.
        clean: of its clean images, if the records are of attacks: an attacker may leave an image unchanged.
    """
    points: dict[int, list[tuple[str, bool]]] = {}
    for record in records:
        for index, draws, right, stands in _draws(record):
            points.setdefault(index, []).append((draws, right and stands))
    for record in clean:
        for index, draws, right, _ in _draws(record):
            if index in points:
                points[index].append((draws, right))
    return {index: worst_outcome(of_image) for index, of_image in sorted(points.items())}


def _draws(record: Record) -> Iterator[tuple[int, str, bool, bool]]:
    """Yield each image, its draws, and whether it was right and stood in the attacked draw."""
    if not record.draws:
        return
    index, clean, label, status = record.columns.arrays("index", "clean", "label", "status")
    right, stands = (clean == label).tolist(), (status == ROBUST).tolist()
    yield from zip(index.tolist(), record.columns.stood, right, stands, strict=True)
