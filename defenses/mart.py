"""MART: adversarial training that weighs misclassified images more. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.attack_options import AttackOptions, pgd
from defenses.schedule import require
from robench.defense import DefenseInfo, TrainingContext

if TYPE_CHECKING:
    from torch import Tensor, nn

    from defenses.inner_attack import InnerAttack
    from defenses.objective import Moment
    from robench.data import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class MART(AttackOptions):
    """Boosted cross-entropy on attacked images plus `weight` KL(p(x) || p(x')) (1 - p_y(x)).

    Wang et al. 2020 ("Improving adversarial robustness requires revisiting misclassified examples", ICLR),
    equations 8 to 11: CIFAR-10 with lambda 5, eps 8/255, 10 steps of 2/255 from a random start, 120 epochs at
    learning rate 0.01, divided by 10 at 75 and 90; MNIST with eps 0.3, 40 steps of 0.01. x' is found by PGD
    on the cross-entropy. The checkpoint is chosen by accuracy under the same attack on the held-out part. The
    other options are those of `defenses.attack_options.AttackOptions`.

    Attributes:
        weight: the paper's lambda.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(title="MART", paper="Wang et al. 2020, ICLR (rklOg6EFwS)")
    weight: float = 5.0
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        AttackOptions.__post_init__(self)
        require(0 <= self.weight < float("inf"), "weight", "at least 0", self.weight)

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train `network` in place; see `robench.defense.Defense`."""
        from defenses.inner_attack import InnerAttack, attackable
        from defenses.training import train

        inner = InnerAttack(
            model=attackable(network, len(data.classes), self.attack_precision),
            attack=pgd(steps=self.steps, step_size=self.step_size),
            norm=self.norm,
            mode=self.attack_mode,
        )
        return train(network, data, _MartLoss(inner, self), options=self, context=context)


@dataclass(frozen=True, slots=True)
class _MartLoss:
    inner: InnerAttack
    options: MART

    def loss(self, x: Images, y: Labels, moment: Moment) -> tuple[Tensor, Outputs]:
        x_adv = self.inner.crafted(x, y, moment.rng, self.options.radius(moment.passed))
        clean, attacked = self.inner.model.net(x), self.inner.model.net(x_adv)
        return mart_loss(clean, attacked, y, self.options.weight), attacked

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        return self.inner.survives(x, y, rng, self.options.eps)


def mart_loss(clean: Outputs, attacked: Outputs, y: Labels, weight: float) -> Tensor:
    """Return the mean of BCE(attacked, y) + weight KL(p(clean) || p(attacked)) (1 - p_y(clean)).

    BCE is -log p_y - log(1 - max_{k != y} p_k); the second term is taken as a difference of two logsumexps,
    so that a p_k which rounds to 1 keeps its gradient.

    Args:
        clean: logits (B, K) of clean images.
        attacked: logits (B, K) of attacked images.
        y: labels (B,).
        weight: the paper's lambda.
    """
    import torch

    own = y[:, None]
    rival = attacked.scatter(1, own, -torch.inf).argmax(dim=1, keepdim=True)
    whole = attacked.logsumexp(dim=1)
    without_rival = attacked.scatter(1, rival, -torch.inf).logsumexp(dim=1)
    boosted = (whole - attacked.gather(1, own).squeeze(1)) + (whole - without_rival)
    natural, robust = clean.log_softmax(dim=1), attacked.log_softmax(dim=1)
    divergence = (natural.exp() * (natural - robust)).sum(dim=1)
    doubt = 1 - natural.exp().gather(1, own).squeeze(1)
    return (boosted + weight * divergence * doubt).mean()
