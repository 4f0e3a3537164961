"""The jobs that bound the images of a shard, each on a slice of them."""

from __future__ import annotations

from collections.abc import Iterator

from robench.run.bounding import Bounding
from robench.run.jobs import Job, Unit
from robench.run.settings import Settings
from robench.run.shards import Shard, slices

IMAGES = {"ibp": 500, "crown": 50, "alpha_crown": 20, "branch_and_bound": 10}
"""Images of one unit: a killed run loses at most these. The result for an image depends on it alone."""


def bounding_slices(count: int, bounding: Bounding) -> list[slice]:
    """Return the slices of a shard of `count` images; each is bounded in its own job."""
    return slices(count, IMAGES[bounding.name])


def bounding_jobs(bounding: Bounding, shard: Shard, settings: Settings) -> Iterator[Job]:
    """Yield a job for every slice of a shard."""
    for images in bounding_slices(len(shard.data), bounding):
        part = shard.part(images)
        key = bounding.key(part, seed=settings.seed)
        unit = Unit(key=key, target=bounding.target, shard=part, bounding=bounding)
        yield Job(key=key, shard=part, crafting=None, units=(unit,))
