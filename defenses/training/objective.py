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
    from robench.types import Images, Labels, Mask, Outputs


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What an objective is told of a mini-batch beside its images and labels.

    Attributes:
        epochs_passed: epochs of the stage before this batch, with the fraction of the current one.
        rng: randomness of its images in this epoch.
    """

    epochs_passed: float
    rng: Randomness


class Objective(Protocol):
    """What is minimised, and by which accuracy checkpoints are chosen.

    Attributes:
        adversarial: whether the outputs that `loss` returns are those of attacked images.
    """

    adversarial: ClassVar[bool]

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Tensor, Outputs]:
        """Return the mean loss of a batch, ready for `backward`, and the outputs (B, K) it was taken at.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,).
            batch: how far the stage is, and the randomness of these images.
        """
        ...

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask | None:
        """Tell which correctly classified images withstand the attack, (B,); None if it knows of none."""
        ...


class CleanObjective:
    """What objectives have in common that learn from clean images alone: they know of no attack."""

    __slots__ = ()
    adversarial: ClassVar[bool] = False

    def survives(self, x: Images, y: Labels, rng: Randomness) -> None:
        """Know of no attack."""
        del x, y, rng


@runtime_checkable
class Stateful(Protocol):
    """An objective that carries something from step to step; it is saved and restored with the weights."""

    def state(self) -> dict[str, Tensor]:
        """Return what must be kept, on any device."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned, which is on the CPU."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of a training: what is learned, from which rows, by which objective.

    Attributes:
        network: what is trained; the best weights of the stage are put into it when the stage ends.
        objective: what to minimise.
        options: length, rates and checkpoint choice of this stage.
        training_set: the rows it learns from.
        replays: steps in a row on each batch.
        parameters: what is descended on; everything else of the network stays frozen and in eval mode. None:
            all that the network lets be trained.
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
        """The parameters that this stage descends on."""
        return list(self.network.parameters()) if self.parameters is None else self.parameters
