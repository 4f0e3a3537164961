"""What a training defense is: a frozen recipe that trains a network in place. No torch at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn

    from robench.data import ImageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenseInfo(Info):
    """What is known of a defense without running it.

    Attributes:
        stage: `training`, or `inference` for one applied to a trained model.
    """

    stage: str = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingContext:
    """What a training run is given beside its recipe.

    Attributes:
        seed: the only source of chance.
        device: where to train.
        state: file that holds the running state; read if it exists (resume), written after every epoch
            atomically, and left in place.
        identity: plain JSON that names what is trained; a state made for another identity is refused.
        progress: called after every epoch with the row of the history that was just added, and by the loop
            every few steps with a row that has `epoch`, `step` and `steps`.
    """

    seed: int
    device: str
    state: Path | None
    identity: dict[str, Any]
    progress: Callable[[dict[str, float]], None]


@runtime_checkable
class Defense(Protocol):
    """A training defense. It may use the training split only."""

    info: ClassVar[DefenseInfo]

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train `network` in place and return one row of history per epoch.

        Args:
            network: images in [0, 1] to logits (B, K).
            data: the training split or a subset of it.
            context: seed, device, state file, progress.

        Raises:
            JobError: the loss stopped being a number; names epoch and step.
            ConfigError: the state file belongs to another configuration.
        """
        ...
