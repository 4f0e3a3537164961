"""PGD adversarial training: every mini-batch is attacked before it is learned. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.attack_options import AttackOptions, pgd
from robench.attack import Attack
from robench.defense import DefenseInfo, TrainingContext

if TYPE_CHECKING:
    from torch import Tensor, nn

    from defenses.inner_attack import InnerAttack
    from defenses.objective import Moment
    from robench.data import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class PGDTraining(AttackOptions):
    """Cross-entropy on images attacked by PGD, through the linear branch.

    Madry et al. 2018 (arXiv:1706.06083), equation 2.1; Wang & Osher 2019, Algorithm 3, stage 1: MNIST with
    eps 0.3, step 0.01, 40 steps, 100 epochs at learning rate 0.1, divided by 10 at 50; CIFAR-10 with 8/255,
    2/255, 10 steps, 120 epochs at 0.1, divided by 10 at 80, 100, 110. The checkpoint is chosen by accuracy
    under the same attack on the held-out part. The other options are those of
    `defenses.attack_options.AttackOptions`.

    Attributes:
        random_start: whether the inner attack starts at a random point of the ball.
        inner: an attack to use in place of PGD with the options above; it gets the same radius.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="PGD adversarial training", paper="Madry et al. 2018, arXiv:1706.06083"
    )
    random_start: bool = True
    inner: Attack | None = None

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train `network` in place; see `robench.defense.Defense`."""
        from defenses.training import train

        objective = attacked_loss(self, network, len(data.classes))
        return train(network, data, objective, options=self, context=context)


@dataclass(frozen=True, slots=True)
class AttackedLoss:
    """The objective of adversarial training: cross-entropy where the attack ends."""

    inner: InnerAttack
    options: PGDTraining

    def loss(self, x: Images, y: Labels, moment: Moment) -> tuple[Tensor, Outputs]:
        """Attack the batch, then take the loss; see `defenses.objective.Objective`."""
        import torch.nn.functional as F

        x_adv = self.inner.crafted(x, y, moment.rng, self.options.radius(moment.passed))
        logits: Outputs = self.inner.model.net(x_adv)
        return F.cross_entropy(logits, y), logits

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Judge at the full radius; see `defenses.objective.Objective`."""
        return self.inner.survives(x, y, rng, self.options.eps)


def attacked_loss(options: PGDTraining, network: nn.Module, classes: int) -> AttackedLoss:
    """Return the objective of these options."""
    from defenses.inner_attack import InnerAttack, attackable

    attack = options.inner or pgd(
        steps=options.steps, step_size=options.step_size, random_start=options.random_start
    )
    inner = InnerAttack(
        model=attackable(network, classes, options.attack_precision),
        attack=attack,
        norm=options.norm,
        mode=options.attack_mode,
    )
    return AttackedLoss(inner, options)
