"""Time rivals fairly: in one process, alternating, medians; machines are noisy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of each repeat of each rival, in the order they ran."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Return the median seconds of one rival."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, ours: str = "robench") -> float:
        """Return the median over repeats of (rival / ours), pair by pair: above 1, ours is faster."""
        pairs = zip(self.seconds[name], self.seconds[ours], strict=True)
        return statistics.median(theirs / own for theirs, own in pairs)


def alternate(
    rivals: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Run every rival in turn, A B C A B C ..., and return the seconds of each counted run.

    Args:
        rivals: name to a call without arguments.
        repeats: counted rounds.
        warmup: rounds that are not counted, first.
        clock: what to read; `time.process_time` on a machine that is busy with other work.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(warmup + repeats):
        # Every other round runs backwards, so that no rival always follows the same one.
        order = list(rivals)[:: 1 if turn % 2 == 0 else -1]
        for name in order:
            start = clock()
            rivals[name]()
            if turn >= warmup:
                seconds[name].append(clock() - start)
    return Timing(seconds=seconds)
