"""A crafting: one attack on one model under one threat, resolved once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.attack.visibility import hides_noise
from robench.run.bounding import BoundColumn
from robench.run.evaluated_model import EvaluatedModel, attacked_model


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
        hides_noise: whether gradients are those of other noise than the model classifies with.
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
    hides_noise: bool = field(init=False)
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
        object.__setattr__(self, "hides_noise", hides_noise(self.attacked.model, threat))
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
