"""What the shared loop asks of a defense: a loss, a verdict on the held-out part, and the order of stages.

No torch at import: recipes of defenses are beside their objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from defenses.training.options import TrainingOptions
    from robench.data.images import ImageSet
    from robench.model.interface import Model
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, Scalar


@dataclass(frozen=True, slots=True)
class BatchContext:
    """Data of a mini-batch for an objective, beside its images and labels.

    Attributes:
        epochs_passed: epochs of the stage before this batch, with the fraction of the current one.
        rng: randomness of its images in this epoch.
    """

    epochs_passed: float
    rng: Randomness


class Objective(Protocol):
    """The objective to minimise, and the accuracy that chooses checkpoints.

    Attributes:
        adversarial: whether the outputs that `loss` returns are those of attacked images.
    """

    adversarial: ClassVar[bool]

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss of a batch, ready for `backward`, and the outputs (B, K) it was computed from.

        A loss that is NaN or infinite ends the training: the loop reports the step.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: the progress of the stage, and the randomness of these images.
        """
        ...

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask | None:
        """Tell which correctly classified images withstand the attack, (B,); None if there is no attack.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,).
            rng: randomness of these images.
        """
        ...


class CleanObjective:
    """What objectives have in common that learn from clean images alone: they know of no attack."""

    __slots__ = ()
    adversarial: ClassVar[bool] = False

    def survives(self, x: Images, y: Labels, rng: Randomness) -> None:
        """Know of no attack: images (B, C, H, W) and labels (B,) are not looked at, and None is returned."""
        del x, y, rng


@runtime_checkable
class Stateful(Protocol):
    """An objective with state between steps, which is saved and restored with the weights."""

    def state(self) -> dict[str, Tensor]:
        """Return the state: tensors of any shape, on any device."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a result of `state`, with all tensors on the CPU."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of a training: a network, training rows and an objective.

    Attributes:
        network: the network in training; at the end of the stage it gets the stage's best weights.
        objective: the objective to minimise.
        options: length, rates and checkpoint choice of this stage.
        training_set: the training rows.
        replays: steps in a row on each batch.
        parameters: the parameters in training; everything else of the network stays frozen and in eval mode.
            None: all trainable parameters.
        classifier: called before the held-out part is judged; returns the model that classifies it, by
            default the network.
    """

    network: nn.Module
    objective: Objective
    options: TrainingOptions
    training_set: ImageSet
    replays: int = 1
    parameters: tuple[nn.Parameter, ...] | None = None
    classifier: Callable[[], Model] | None = None

    @property
    def trained(self) -> Sequence[nn.Parameter]:
        """The parameters that this stage trains."""
        return list(self.network.parameters()) if self.parameters is None else self.parameters
