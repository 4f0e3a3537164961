"""MART: adversarial training that weighs misclassified images more. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.option_checks import require
from defenses.training.inner_attack import InnerAttack
from defenses.training.kl_penalty import KLPenaltyLoss, KLPenaltyOptions, kl_divergence
from robench.model.defense import DefenseInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.types import Labels, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class MART(KLPenaltyOptions):
    """Boosted cross-entropy on attacked images plus `weight` KL(p(x) || p(x')) (1 - p_y(x)).

    Wang et al. 2020 ("Improving adversarial robustness requires revisiting misclassified examples", ICLR),
    equations 8 to 11. The defaults are those for CIFAR-10 (eps 8/255, ResNet-18): lambda 5, 10 steps from a
    random start, 120 epochs at learning rate 0.01, divided by 10 at 75 and 90, weight decay 0.0035. For MNIST
    (eps 0.3): `steps: 40, step_size: 0.01`. x' is found by PGD on the cross-entropy. The checkpoint is chosen
    by accuracy under the same attack on the held-out part. The other options are those of
    `defenses.training.inner_attack.AttackOptions`.

    Attributes:
        weight: the paper's lambda, at least 0.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="MART", paper="Wang et al. 2020, ICLR (rklOg6EFwS)", bibtex=paper("wang2020improving")
    )
    epochs: int = 120
    learning_rate: float = 0.01
    weight_decay: float = 3.5e-3
    weight: float = 5.0

    MILESTONES: ClassVar[tuple[float, ...]] = (75 / 120, 90 / 120)

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        KLPenaltyOptions.__post_init__(self)
        require(0 <= self.weight < float("inf"), "weight", "at least 0", self.weight)

    def objective(self, inner: InnerAttack) -> KLPenaltyLoss:
        """Return equation 11."""
        return _MartLoss(inner, self)


@dataclass(frozen=True, slots=True)
class _MartLoss(KLPenaltyLoss):
    options: MART

    def formula(self, clean: Outputs, attacked: Outputs, y: Labels) -> Scalar:
        """Return the mean loss of equation 11, at least 0; see `mart_loss`.

        Args:
            clean: logits (B, K) of clean images.
            attacked: logits (B, K) of attacked images.
            y: labels (B,), from 0 to K - 1.
        """
        return mart_loss(clean, attacked, y, self.options.weight)


def mart_loss(clean: Outputs, attacked: Outputs, y: Labels, weight: float) -> Scalar:
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
    log_total = attacked.logsumexp(dim=1)
    without_rival = attacked.scatter(1, rival, -torch.inf).logsumexp(dim=1)
    boosted_loss = (log_total - attacked.gather(1, own).squeeze(1)) + (log_total - without_rival)
    doubt = 1 - clean.softmax(dim=1).gather(1, own).squeeze(1)
    return (boosted_loss + weight * kl_divergence(clean, attacked) * doubt).mean()
