"""The jobs on a shard, resolved once: a crafting, if there is one, and units to judge, each with its key."""

from __future__ import annotations

from dataclasses import dataclass, field

from robench.run.bounding import Bounding, bounding_slices
from robench.run.crafting import Crafting
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keys import CLEAN, crafting_key, record_key
from robench.run.settings import Settings
from robench.run.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One record to make: a shard, clean or attacked, judged on one model; or a part of a shard, bounded.

    Attributes:
        key: hash of everything that can change the record.
        target: the model that judges.
        shard: the images.
        crafting: the attack on the images; None for clean images.
        crafted_key: key of the crafted images; empty for clean images.
        bounding: how the images are bounded; None if they are judged.
        is_clean: whether it judges clean images.
        title: one readable line.
        white_box: whether the images were crafted on the same model that judges them.
    """

    key: str
    target: EvaluatedModel
    shard: Shard
    crafting: Crafting | None = None
    crafted_key: str = ""
    bounding: Bounding | None = None
    is_clean: bool = field(init=False)
    title: str = field(init=False)
    white_box: bool = field(init=False)

    def __post_init__(self) -> None:
        """Resolve what follows from the rest."""
        name, crafting = self.target.model.name, self.crafting
        if self.bounding:
            title = self.bounding.title
        else:
            title = f"{crafting.title} -> {name}" if crafting else f"{CLEAN} on {name}"
        object.__setattr__(self, "is_clean", crafting is None and self.bounding is None)
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "white_box", crafting is not None and crafting.source.model.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One crafting and the units that judge its images; or a single unit, clean or bounded."""

    key: str
    shard: Shard
    crafting: Crafting | None
    units: tuple[Unit, ...]

    @property
    def is_clean(self) -> bool:
        """Whether it judges clean images."""
        return self.units[0].is_clean

    @property
    def white_box(self) -> Unit:
        """The unit that judges the attacked model itself."""
        return next(unit for unit in self.units if unit.white_box)


def clean_job(target: EvaluatedModel, shard: Shard, settings: Settings) -> Job:
    """Return the job of judging a model on clean images."""
    unit = Unit(key=record_key(target, shard, settings), target=target, shard=shard)
    return Job(key="", shard=shard, crafting=None, units=(unit,))


def crafting_job(crafting: Crafting, shard: Shard, settings: Settings) -> Job:
    """Return the job of crafting the images of a shard once and judging them on every target."""
    key = crafting_key(crafting, shard, settings)
    units = tuple(
        Unit(
            key=record_key(target, shard, settings, crafting=crafting, crafted=key),
            target=target,
            shard=shard,
            crafting=crafting,
            crafted_key=key,
        )
        for target in crafting.targets
    )
    return Job(key=key, shard=shard, crafting=crafting, units=units)


def bounding_jobs(bounding: Bounding, shard: Shard, settings: Settings) -> list[Job]:
    """Return a job for every slice of a shard whose images are bounded together."""
    jobs = []
    for images in bounding_slices(len(shard.data), bounding):
        part = shard.part(images)
        key = bounding.key(part, seed=settings.seed)
        unit = Unit(key=key, target=bounding.target, shard=part, bounding=bounding)
        jobs.append(Job(key=key, shard=part, crafting=None, units=(unit,)))
    return jobs
