"""PGD adversarial training: every mini-batch is attacked before the training step. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.training.inner_attack import AttackOptions, InnerAttack, pgd
from robench.attack.protocol import Attack
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from defenses.training.objective import BatchContext
    from robench.data.images import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class PGDTraining(AttackOptions):
    """Cross-entropy on images attacked by PGD, through the linear branch.

    Madry et al. 2018 (arXiv:1706.06083), equation 2.1. The defaults are those of Wang & Osher 2019, Algorithm
    3, stage 1, for CIFAR-10 (eps 8/255): 10 steps of 2/255, 120 epochs at learning rate 0.1, divided by 10 at
    80, 100 and 110. MNIST (eps 0.3): `steps: 40, step_size: 0.01, epochs: 100, milestones: [50]`. The growth
    of the radius in the first epoch is ours: `warmup_epochs: 0` is the paper. The checkpoint is chosen by
    accuracy under the same attack on the held-out part. The other options are those of
    `defenses.training.inner_attack.AttackOptions`.

    Attributes:
        random_start: whether the inner attack starts at a random point of the ball.
        inner: an attack to use instead of PGD with the options above; it gets the same radius.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="PGD adversarial training",
        paper="Madry et al. 2018, arXiv:1706.06083",
        bibtex=paper("madry2018towards"),
    )
    epochs: int = 120
    learning_rate: float = 0.1
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"
    random_start: bool = True
    inner: Attack | None = None

    MILESTONES: ClassVar[tuple[float, ...]] = (80 / 120, 100 / 120, 110 / 120)

    def attack(self) -> Attack:
        """Return the inner attack: the option `inner`, or PGD with the options of this training."""
        return self.inner or pgd(steps=self.steps, step_size=self.step_size, random_start=self.random_start)

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`."""
        from defenses.training.loop import train

        objective = attacked_loss(self, network, len(data.classes))
        return train(network, data, objective, options=self, context=context)


@dataclass(frozen=True, slots=True)
class AttackedLoss:
    """The objective of adversarial training: cross-entropy at the end point of the attack."""

    adversarial: ClassVar[bool] = True
    inner: InnerAttack
    options: PGDTraining

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Attack the batch; return the mean cross-entropy and the logits (B, K) of the attacked images.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: the progress of the stage, and the randomness of these images.
        """
        import torch.nn.functional as F

        x_adv = self.inner.craft(x, y, batch.rng, self.options.radius(batch.epochs_passed))
        logits: Outputs = self.inner.model.net(x_adv)
        return F.cross_entropy(logits, y), logits

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Tell which images (B,) withstand the attack at the full radius.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            rng: randomness of these images.
        """
        return self.inner.survives(x, y, rng, self.options.eps)


def attacked_loss(options: PGDTraining, network: nn.Module, classes: int) -> AttackedLoss:
    """Return the objective of these options."""
    return AttackedLoss(options.inner_attack(network, classes, options.attack()), options)
