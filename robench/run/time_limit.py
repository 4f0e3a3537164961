"""How long a job may take before it counts as hanging: by the passes it has to make, and generously."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from robench.recipe import options_of
from robench.run.jobs import Job

ANY_JOB = 1800.0
"""Seconds that every job has, however little it has to do."""

SLACK = 5.0
"""How many times slower than in the first small batches a pass may become."""

FEWEST, MOST = 20_000, 10_000_000
"""Passes on one image: what a recipe that states none may need, and what no option makes it exceed."""

SECONDS = ("seconds", "branch_and_bound")
"""Options of attacks that are seconds for an image."""

_NO_COUNTS = {"seed", "classes", "batch_size"}


def seconds_for(job: Job, *, seconds_per_image: float) -> float:
    """Return after how many seconds a job counts as hanging.

    Args:
        job: what is done.
        seconds_per_image: that an answer to one image took in the first small batches.
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
    """Return an upper guess of the passes that an attack with these options makes on one image.

    Steps, restarts and queries multiply; what else is a whole number can only make the guess larger.
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
