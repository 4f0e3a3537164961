"""Protocols of defenses: a frozen recipe that trains a network, or that is put in front of a trained model.

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
    """Facts about a defense that are known without running it.

    Attributes:
        stage: `training`, or `inference` for one applied to a trained model.
        uses_unlabelled: whether it also uses images with withheld labels (-1); any other defense gets only
            the labelled images.
        attacked_through: how the gradient sources of a defended model bypass an inference defense, in one
            sentence; empty for a training defense.
    """

    stage: str = "training"
    uses_unlabelled: bool = False
    attacked_through: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingContext:
    """The inputs of a training beside its recipe.

    Attributes:
        seed: the only source of randomness.
        device: device of the training.
        state: file of the running state; read if it exists (resume), written atomically after every epoch,
            and not deleted.
        identity: plain JSON that names what is trained; a state made for another identity is refused.
        progress: called after every epoch with the row of the history that was just added, and by the loop
            every few steps with a row that has `epoch`, `step` and `steps`.
        history: file for the history as CSV, written anew after every epoch; None for none.
        last: called once with the weights (name to tensor) of the last epoch, which need not be chosen.
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
            JobError: the loss is NaN or infinite; names epoch and step.
            ConfigError: the state file belongs to another configuration.
        """
        ...


@runtime_checkable
class InferenceDefense(Protocol):
    """A defense in front of a trained model: it changes the image, or the way the outputs are computed."""

    info: ClassVar[DefenseInfo]

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Return the gradient sources of the defended model, so that a configuration can be checked early.

        Args:
            beneath: gradient sources of the undefended model.
        """
        ...

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the defended model, under the same name.

        Its details name the defense and its options, so that its results are not confused with another
        model's. Its gradient sources bypass the defense, as `info.attacked_through` says; the second output
        of each is the output of the defended model. Noise is a function of image, seed and draw
        (`robench.model.noise`).

        Args:
            model: the trained model; its network is shared, not changed.
            training_data: returns the training split; called only if needed.
            seed: the only source of randomness.

        Raises:
            ConfigError: the defense cannot be put in front of this model.
            InputError: the training images are not suitable.
        """
        ...
