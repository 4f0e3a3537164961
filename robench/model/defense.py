"""What a defense is: a frozen recipe that trains a network, or one that is put in front of a trained model.

No torch at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from robench.recipe import Info

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenseInfo(Info):
    """What is known of a defense without running it.

    Attributes:
        stage: `training`, or `inference` for one applied to a trained model.
        uses_unlabelled: whether it learns from images whose labels are withheld (-1) too; any other defense
            is given the labelled ones only.
        attacked_through: how the gradient sources of a model behind an inference defense get past it, in one
            sentence; empty for a training defense.
    """

    stage: str = "training"
    uses_unlabelled: bool = False
    attacked_through: str = ""


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
        history: file for the history as CSV, written anew after every epoch; None for none.
        last: called once with the weights (name to tensor) that the last epoch left, whichever are chosen.
    """

    seed: int
    device: str
    state: Path | None
    identity: Mapping[str, object]
    progress: Callable[[dict[str, float]], None]
    history: Path | None = None
    last: Callable[[dict[str, Tensor]], None] | None = None


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


@runtime_checkable
class InferenceDefense(Protocol):
    """A defense put in front of a trained model: it changes the image, or how the answer is found."""

    info: ClassVar[DefenseInfo]

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Return the gradient sources of the defended model, so that a configuration can be checked early.

        Args:
            beneath: those of the model it is put in front of.
        """
        ...

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the defended model, under the same name.

        Its details name the defense and its options, so that no result of another model is taken for its own.
        Its gradient sources get past the defense, as `info.attacked_through` says; the second output of each
        is what the defended model answers. Noise is a function of image, seed and draw
        (`robench.model.noise`).

        Args:
            model: the trained model; its network is shared, not changed.
            training_data: gives the training split; called only if needed.
            seed: the only source of chance.

        Raises:
            ConfigError: the defense cannot be put in front of this model.
            InputError: the training images will not do.
        """
        ...
