"""How each image of a random model fares under fresh draws, at the worst of its points. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robench.record.draws import worst_outcome
from robench.record.schema import Record
from robench.record.status import ROBUST

Outcomes = dict[int, str]
"""Image to one 0 (fell) or 1 (stood) for each fresh draw, at the worst of its points."""


def outcomes(records: Sequence[Record], clean: Sequence[Record] = ()) -> Outcomes:
    """Return how each image fares at the worst of its points, in index order.

    Args:
        records: attacks on one model, or its clean images; those without fresh draws say nothing.
        clean: its clean images, where the records are of attacks: who attacks may leave an image alone.
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
    """Yield each image, its draws, and whether it was right and stood in the draw that was attacked."""
    if not record.draws:
        return
    index, clean, label, status = record.columns.arrays("index", "clean", "label", "status")
    right, stands = (clean == label).tolist(), (status == ROBUST).tolist()
    yield from zip(index.tolist(), record.columns.stood, right, stands, strict=True)
