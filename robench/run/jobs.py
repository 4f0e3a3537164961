"""What there is to do on a shard, resolved once: craftings, and units to judge, each with its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.run.bounding import BoundColumn, Bounding
from robench.run.evaluated_model import EvaluatedModel, attacked_model
from robench.run.keys import CLEAN, crafting_key, record_key
from robench.run.settings import Settings
from robench.run.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One threat model, how the user wrote its radius, and the attacks and bounds that play under it."""

    threat: ThreatModel
    eps_text: str
    attacks: Mapping[str, Attack]
    bounds: Mapping[str, BoundColumn] = field(default_factory=dict)

    def spec(self) -> dict[str, Any]:
        """Return the plain JSON description that goes into records."""
        return {**self.threat.spec(), "eps_text": self.eps_text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crafting:
    """One attack on one model through one gradient source, under one threat.

    Attributes:
        source: the model whose row it is.
        attacked: what the attack is really run on: the source, or its stand-in.
        targets: the models that judge the images; the source is one of them.
        gradient_source: name of what is differentiated, or of the attack's own choice.
        label: the attack's column.
        attack: the recipe.
        board: the threat.
    """

    source: EvaluatedModel
    attacked: EvaluatedModel
    targets: tuple[EvaluatedModel, ...]
    gradient_source: str
    label: str
    attack: Attack
    board: Board

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
            gradient_source: what to attack it through.
            targets: the models that judge the images, the source among them; by default it alone.

        Raises:
            ConfigError: it needs a stand-in and there is none.
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

    @property
    def drop(self) -> bool:
        """Whether broken images may leave the batch.

        They may where no other model is judged on them, and where the model itself is attacked: what broke a
        stand-in need not break it.
        """
        return len(self.targets) == 1 and self.attacked is self.source

    @property
    def threat(self) -> ThreatModel:
        """The threat model of its board."""
        return self.board.threat

    @property
    def power(self) -> str:
        """Norm and radius in words, such as `Linf 8/255` or `smallest L2`."""
        name = self.threat.norm.name
        return f"{name} {self.board.eps_text}" if self.threat.bounded else f"smallest {name}"

    @property
    def title(self) -> str:
        """One line for a person."""
        return f"{self.label} on {self.source.model.name} through {self.gradient_source} ({self.power})"

    def key(self, shard: Shard, *, seed: int) -> str:
        """Return the hash of everything that can change the images; names of rows are not part of it."""
        return crafting_key(
            self.attacked,
            self.attack,
            self.threat,
            shard,
            gradient_source=self.gradient_source,
            drop=self.drop,
            seed=seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One record to make: a shard, clean or attacked, judged on one model; or a part of one, bounded.

    Attributes:
        key: hash of everything that can change the record.
        target: the model that judges.
        shard: the images.
        crafting: what was done to them; None for the clean images themselves.
        crafted_key: key of the crafted images; empty for clean ones.
        bounding: how the images are bounded; None where they are judged.
    """

    key: str
    target: EvaluatedModel
    shard: Shard
    crafting: Crafting | None = None
    crafted_key: str = ""
    bounding: Bounding | None = None

    @property
    def is_clean(self) -> bool:
        """Whether it judges clean images."""
        return self.crafting is None and self.bounding is None

    @property
    def title(self) -> str:
        """One line for a person."""
        name = self.target.model.name
        if self.bounding:
            return self.bounding.title
        return f"{self.crafting.title} -> {name}" if self.crafting else f"{CLEAN} on {name}"

    @property
    def white_box(self) -> bool:
        """Whether the images were crafted on the very model that judges them."""
        return self.crafting is not None and self.crafting.source.model.name == self.target.model.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is crafted at once, and the units that are judged on it; else one unit, clean or bounded."""

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
        """The unit of the model that was attacked itself."""
        return next(unit for unit in self.units if unit.white_box)


def clean_job(target: EvaluatedModel, shard: Shard, settings: Settings) -> Job:
    """Return the job of judging a model on clean images."""
    key = record_key(target, shard, draws=settings.draws)
    unit = Unit(key=key, target=target, shard=shard)
    return Job(key="", shard=shard, crafting=None, units=(unit,))


def crafting_job(crafting: Crafting, shard: Shard, settings: Settings) -> Job:
    """Return the job of crafting the images of a shard once and judging them on every target."""
    key = crafting.key(shard, seed=settings.seed)
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
    """Yield what there is to do on a shard: every model on clean images, then every crafting."""
    for target in models:
        yield clean_job(target, shard, settings)
    for crafting in craftings:
        yield crafting_job(crafting, shard, settings)
