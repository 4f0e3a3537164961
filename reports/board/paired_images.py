"""Which images stand against some records, and whether one attacker is weaker than another beyond chance."""

from __future__ import annotations

from collections.abc import Iterable

from robench.record.draws import paired_p_value, share_stood, worst_outcome
from robench.record.schema import Record, Status

Standing = dict[int, str]
"""Image to whether it stands (1) or not (0) against all in question, in each draw of a random model."""


def standing(records: Iterable[Record], *, fresh: bool = True) -> Standing:
    """Return which images stand against all of these records.

    Args:
        records: judged on one model.
        fresh: of a random model, by its fresh draws; else by the draw that was attacked.
    """
    every = list(records)
    if not fresh or not any(record.columns.stood for record in every):
        return _standing_once(every)
    found: dict[int, list[tuple[str, bool]]] = {}
    for record in every:
        columns = record.columns
        one = ["01"[status == Status.ROBUST] for status in columns.status]
        stood = columns.stood or one
        for index, draws, status in zip(columns.index, stood, columns.status, strict=True):
            found.setdefault(index, []).append((draws, status == Status.ROBUST))
    return {index: worst_outcome(points) for index, points in found.items()}


def _standing_once(records: Iterable[Record]) -> Standing:
    """Return which images stand against all records, each asked about once."""
    found: Standing = {}
    for record in records:
        for index, status in zip(record.columns.index, record.columns.status, strict=True):
            if status != Status.ROBUST:
                found[index] = "0"
            else:
                found.setdefault(index, "1")
    return found


def count(some: Standing) -> float:
    """Return how many images stand, on average over draws."""
    return sum(map(share_stood, some.values()))


def gap(first: Standing, second: Standing) -> int:
    """Return how many more images stand against the first attacker, of those that met both; rounded."""
    shared = first.keys() & second.keys()
    return round(sum(share_stood(first[i]) - share_stood(second[i]) for i in shared))


def weakness(first: Standing, second: Standing) -> float:
    """Return the p-value of the first attacker being weaker than the second; 1 if it is not.

    Exact McNemar test on the images that met both, between means over draws the sign-flip test.
    """
    images = sorted(first.keys() & second.keys())
    ours, theirs = [first[i] for i in images], [second[i] for i in images]
    if sum(map(share_stood, ours)) <= sum(map(share_stood, theirs)):
        return 1.0
    return paired_p_value(ours, theirs)
