"""Natural training: cross-entropy on clean images, the baseline of every defense. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.training.objective import BatchContext, CleanObjective
from defenses.training.options import TrainingOptions
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.types import Images, Labels, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Natural(TrainingOptions):
    """Cross-entropy on clean images through the linear branch.

    The defaults are those of Wang & Osher 2019, Algorithm 1, stage 1: 400 epochs at learning rate 0.05, which
    is halved every 50 epochs, Nesterov momentum, batches of 128. All options are those of
    `defenses.training.options.TrainingOptions`; the checkpoint is chosen by natural accuracy.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Natural training",
        paper="Wang & Osher 2019, Algorithm 1, stage 1",
        bibtex=paper("wang2019graph"),
    )
    epochs: int = 400
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"

    MILESTONES: ClassVar[tuple[float, ...]] = tuple(k / 8 for k in range(1, 8))
    GAMMA: ClassVar[float] = 0.5

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`."""
        from defenses.training.loop import train

        return train(network, data, CleanLoss(network), options=self, context=context)


@dataclass(frozen=True, slots=True)
class CleanLoss(CleanObjective):
    """The objective of natural training; it knows of no attack."""

    network: nn.Module

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss, at least 0, and the logits (B, K) of the images.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: not used; the loss is the same in every epoch.
        """
        import torch.nn.functional as F

        del batch
        logits: Outputs = self.network(x)
        return F.cross_entropy(logits, y), logits
