"""The jobs in which the images of a shard are bounded, each on a slice of them."""

from __future__ import annotations

from collections.abc import Iterator

from robench.run.bounding import Bounding
from robench.run.jobs import Job, Unit
from robench.run.settings import Settings
from robench.run.shards import Shard, slices

IMAGES = {"ibp": 500, "crown": 50, "alpha_crown": 20, "branch_and_bound": 10}
"""Images of one unit: what is lost when a run is killed. What is said of an image depends on it alone."""


def bounding_slices(count: int, bounding: Bounding) -> list[slice]:
    """Return the slices of so many images of a shard that are bounded in a job each."""
    return slices(count, IMAGES[bounding.name])


def bounding_jobs(bounding: Bounding, shard: Shard, settings: Settings) -> Iterator[Job]:
    """Yield a job for every slice of a shard."""
    for images in bounding_slices(len(shard.data), bounding):
        part = shard.part(images)
        key = bounding.key(part, seed=settings.seed)
        unit = Unit(key=key, target=bounding.target, shard=part, bounding=bounding)
        yield Job(key=key, shard=part, crafting=None, units=(unit,))
