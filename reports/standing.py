"""Which images stand against some records, and whether one attacker is weaker than another beyond chance."""

from __future__ import annotations

from collections.abc import Iterable

from robench.record import Record, Status
from robench.statistics import discordant, mcnemar

Standing = dict[int, bool]
"""Image to whether it stands against everything in question."""


def standing(records: Iterable[Record]) -> Standing:
    """Return which images stand against all of these records."""
    found: Standing = {}
    for record in records:
        for index, status in zip(record.columns.index, record.columns.status, strict=True):
            found[index] = found.get(index, True) and status == Status.ROBUST
    return found


def gap(first: Standing, second: Standing) -> int:
    """Return how many more images stand against the first attacker, of those that met both."""
    shared = first.keys() & second.keys()
    return sum(first[i] for i in shared) - sum(second[i] for i in shared)


def weakness(first: Standing, second: Standing) -> float:
    """Return the p-value of the first attacker being weaker than the second; 1 if it is not.

    Exact McNemar test on the images that met both.
    """
    images = sorted(first.keys() & second.keys())
    only_first, only_second = discordant([first[i] for i in images], [second[i] for i in images])
    return mcnemar(only_first, only_second) if only_first > only_second else 1.0
