"""The work on a shard, resolved once: craftings, and units to judge, each with its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.run.bounding import BoundColumn, Bounding, bounding_slices
from robench.run.evaluated_model import EvaluatedModel, attacked_model
from robench.run.keys import CLEAN, crafting_key, record_key
from robench.run.settings import Settings
from robench.run.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One threat model, its radius as the user wrote it, and the attacks and bounds under it."""

    threat: ThreatModel
    eps_text: str
    attacks: Mapping[str, Attack]
    bounds: Mapping[str, BoundColumn] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crafting:
    """One attack on one model through one gradient source, under one threat.

    Attributes:
        source: the model that the attack is meant for.
        attacked: the model that the attack really runs on: the source, or its stand-in.
        targets: the models that judge the images; the source is one of them.
        gradient_source: name of the gradient source, or of the attack's own choice.
        label: the attack's column.
        attack: the recipe.
        board: the threat.
        threat: the threat model of the board.
        drop: whether broken images may leave the batch. They may if no other model is judged on them and the
            model itself is attacked: an image that breaks a stand-in need not break the model.
        title: one readable line.
    """

    source: EvaluatedModel
    attacked: EvaluatedModel
    targets: tuple[EvaluatedModel, ...]
    gradient_source: str
    label: str
    attack: Attack
    board: Board
    threat: ThreatModel = field(init=False)
    drop: bool = field(init=False)
    title: str = field(init=False)

    def __post_init__(self) -> None:
        """Resolve what follows from the rest."""
        threat = self.board.threat
        power = (
            f"{threat.norm.name} {self.board.eps_text}" if threat.bounded else f"smallest {threat.norm.name}"
        )
        title = f"{self.label} on {self.source.model.name} through {self.gradient_source} ({power})"
        object.__setattr__(self, "threat", threat)
        object.__setattr__(self, "drop", len(self.targets) == 1 and self.attacked is self.source)
        object.__setattr__(self, "title", title)

    @classmethod
    def of(
        cls,
        board: Board,
        label: str,
        source: EvaluatedModel,
        gradient_source: str,
        *,
        targets: Sequence[EvaluatedModel] = (),
    ) -> Crafting:
        """Return the crafting of a board's attack on a model.

        Args:
            board: the threat, with the attack.
            label: names the attack.
            source: the model.
            gradient_source: the gradient source to use.
            targets: the models that judge the images, including the source; by default the source alone.

        Raises:
            ConfigError: the attack needs a stand-in and there is none.
        """
        attack = board.attacks[label]
        return cls(
            source=source,
            attacked=attacked_model(source, gradient_source, attack, board.threat),
            targets=tuple(targets) or (source,),
            gradient_source=gradient_source,
            label=label,
            attack=attack,
            board=board,
        )

    def key(self, shard: Shard, settings: Settings) -> str:
        """Return the hash of everything that can change the images; names of rows are not part of it."""
        return crafting_key(
            self.attacked,
            self.attack,
            self.threat,
            shard,
            gradient_source=self.gradient_source,
            drop=self.drop,
            settings=settings,
        )


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
    key = record_key(target, shard, draws=settings.draws)
    unit = Unit(key=key, target=target, shard=shard)
    return Job(key="", shard=shard, crafting=None, units=(unit,))


def crafting_job(crafting: Crafting, shard: Shard, settings: Settings) -> Job:
    """Return the job of crafting the images of a shard once and judging them on every target."""
    key = crafting.key(shard, settings)
    units = tuple(
        Unit(
            key=record_key(
                target,
                shard,
                draws=settings.draws,
                crafted=key,
                source=crafting.source.model.name,
                label=crafting.label,
                eps_text=crafting.board.eps_text,
            ),
            target=target,
            shard=shard,
            crafting=crafting,
            crafted_key=key,
        )
        for target in crafting.targets
    )
    return Job(key=key, shard=shard, crafting=crafting, units=units)


def jobs_on(
    shard: Shard, models: Sequence[EvaluatedModel], craftings: Sequence[Crafting], settings: Settings
) -> Iterator[Job]:
    """Yield the jobs of a shard: every model on clean images, then every crafting."""
    for target in models:
        yield clean_job(target, shard, settings)
    for crafting in craftings:
        yield crafting_job(crafting, shard, settings)


def bounding_jobs(bounding: Bounding, shard: Shard, settings: Settings) -> Iterator[Job]:
    """Yield a job for every slice of a shard whose images are bounded together."""
    for images in bounding_slices(len(shard.data), bounding):
        part = shard.part(images)
        key = bounding.key(part, seed=settings.seed)
        unit = Unit(key=key, target=bounding.target, shard=part, bounding=bounding)
        yield Job(key=key, shard=part, crafting=None, units=(unit,))
