"""A generous time limit for a job, from its number of passes; a longer job counts as hanging."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from robench.recipe import options_of
from robench.run.jobs import Job

ANY_JOB = 1800.0
"""Seconds that every job has, even a small one."""

SLACK = 5.0
"""A pass may be this many times slower than in the first small batches."""

FEWEST, MOST = 20_000, 10_000_000
"""Passes on one image: the least allowed for any recipe, and the most that options can give."""

SECONDS = ("seconds", "branch_and_bound")
"""Options of attacks that are seconds per image."""

_NO_COUNTS = {"seed", "classes", "batch_size"}


def seconds_for(job: Job, *, seconds_per_image: float) -> float:
    """Return after how many seconds a job counts as hanging.

    Args:
        job: the job.
        seconds_per_image: a model's seconds for one image in the first small batches.
    """
    images = max(1, len(job.shard.data))
    if (bounding := job.units[0].bounding) is not None:
        return ANY_JOB + SLACK * images * bounding.seconds
    options = options_of(job.crafting.attack) if job.crafting else {}
    passes = passes_of(options) if job.crafting else FEWEST / 100
    if job.crafting and job.crafting.threat.budget:
        passes = min(passes, job.crafting.threat.budget)
    searching = sum(float(options.get(name) or 0.0) for name in SECONDS)
    return ANY_JOB + SLACK * images * (passes * seconds_per_image + searching)


def passes_of(options: Mapping[str, Any]) -> int:
    """Return an upper estimate of the passes that an attack with these options makes on one image.

    Steps, restarts and queries multiply; any other integer option can only make the estimate larger.
    """
    counts = [value for name, value in _numbers(options) if name not in _NO_COUNTS]
    return max(FEWEST, min(MOST, 3 * math.prod(counts)))


def _numbers(options: Mapping[str, Any]) -> list[tuple[str, int]]:
    numbers: list[tuple[str, int]] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            numbers += _numbers(value)
        elif isinstance(value, int) and not isinstance(value, bool) and value > 1:
            numbers.append((name, value))
    return numbers
