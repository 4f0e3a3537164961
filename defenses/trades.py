"""TRADES: a natural loss, and a penalty on the change by an attack. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.option_checks import positive
from defenses.training.inner_attack import InnerAttack, under_attack
from defenses.training.kl_penalty import KLPenaltyLoss, KLPenaltyOptions, kl_divergence
from robench.model.defense import DefenseInfo
from robench.papers import paper

if TYPE_CHECKING:
    from torch import Tensor

    from defenses.training.objective import BatchContext
    from robench.model.interface import OutputKind
    from robench.types import Images, Labels, Outputs, PerSample, Scalar

START = 0.001
"""Standard deviation of the Gaussian start: at the image itself the divergence has no gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TRADES(KLPenaltyOptions):
    """Cross-entropy on clean images plus `beta` times KL(p(x) || p(x')), x' chosen to raise that divergence.

    Zhang et al. 2019 (arXiv:1901.08573), equation 5 and Algorithm 1. The defaults are those for CIFAR-10 (eps
    0.031): beta 6, 10 steps, 100 epochs at learning rate 0.1, divided by 10 at 75 and 90, weight decay 0.0002
    (and steps of 0.007, which is not the default). For MNIST (eps 0.3): `steps: 40, step_size: 0.01,
    learning_rate: 0.01, weight_decay: 0`. The attack starts at a Gaussian of deviation 0.001 around the
    image. The checkpoint is chosen by accuracy under PGD with `steps` steps on the held-out part. The other
    options are those of `defenses.training.inner_attack.AttackOptions`.

    Attributes:
        beta: weight of the divergence, 1/lambda in the paper; above 0.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="TRADES", paper="Zhang et al. 2019, arXiv:1901.08573", bibtex=paper("zhang2019theoretically")
    )
    epochs: int = 100
    learning_rate: float = 0.1
    weight_decay: float = 2e-4
    beta: float = 6.0

    MILESTONES: ClassVar[tuple[float, ...]] = (75 / 100, 90 / 100)

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        KLPenaltyOptions.__post_init__(self)
        positive(beta=self.beta)

    def objective(self, inner: InnerAttack) -> KLPenaltyLoss:
        """Return equation 5."""
        return _TradesLoss(inner, self)


@dataclass(frozen=True, slots=True)
class _TradesLoss(KLPenaltyLoss):
    options: TRADES

    def formula(self, clean: Outputs, attacked: Outputs, y: Labels) -> Scalar:
        """Return the mean loss of equation 5, at least 0; see `trades_loss`.

        Args:
            clean: logits (B, K) of clean images.
            attacked: logits (B, K) of attacked images.
            y: labels (B,), from 0 to K - 1.
        """
        return trades_loss(clean, attacked, y, self.options.beta)

    def attacked_images(self, x: Images, y: Labels, batch: BatchContext) -> Images:
        """Return points of the ball (B, C, H, W) whose predictions differ most from those of the images."""
        import torch

        options, eps = self.options, self.options.radius(batch.epochs_passed)
        with torch.no_grad(), under_attack(self.inner.model.net, options.attack_mode):
            clean: Outputs = self.inner.model.net(x)

        def distance(outputs: Outputs, _y: Labels, _kind: OutputKind) -> PerSample:
            """Return the divergence (B,) of outputs (B, K) from those on the clean images."""
            return kl_divergence(clean, outputs)

        start = self.inner.threat(eps).project(x, x + START * batch.rng.normal(x))
        step_size = options.step_size or 2.5 * eps / options.steps
        return self.inner.ascend(x, start, y, distance, eps=eps, steps=options.steps, step_size=step_size)


def trades_loss(clean: Outputs, attacked: Outputs, y: Labels, beta: float) -> Scalar:
    """Return the mean of CE(clean, y) + beta KL(p(clean) || p(attacked)).

    Args:
        clean: logits (B, K) of clean images.
        attacked: logits (B, K) of attacked images.
        y: labels (B,).
        beta: weight of the divergence.
    """
    import torch.nn.functional as F

    loss: Tensor = F.cross_entropy(clean, y) + beta * kl_divergence(clean, attacked).mean()
    return loss
