"""The pieces of a shard in which its images are bounded, a job for each."""

from __future__ import annotations

from collections.abc import Iterator

from robench.run.bounding import Bounding
from robench.run.jobs import Job, Unit
from robench.run.settings import Settings
from robench.run.shards import Shard, pieces

IMAGES = {"ibp": 500, "crown": 50, "alpha_crown": 20, "branch_and_bound": 10}
"""Images of one unit: what is lost when a run is killed. What is said of an image depends on it alone."""


def pieces_of(count: int, bounding: Bounding) -> list[slice]:
    """Return the pieces in which so many images of a shard are bounded."""
    return pieces(count, IMAGES[bounding.name])


def bounding_jobs(bounding: Bounding, shard: Shard, settings: Settings) -> Iterator[Job]:
    """Yield a job for every piece of a shard."""
    for images in pieces_of(len(shard.data), bounding):
        part = shard.part(images)
        key = bounding.key(part, seed=settings.seed)
        unit = Unit(key=key, target=bounding.target, shard=part, bounding=bounding)
        yield Job(key=key, shard=part, crafting=None, units=(unit,))
