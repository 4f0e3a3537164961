"""TRADES: a natural loss, and a penalty on what an attack can change. No torch at import."""

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
    from robench.model import OutputKind
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, PerSample

START = 0.001
"""Standard deviation of the Gaussian start: at the image itself the divergence has no gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TRADES(AttackOptions):
    """Cross-entropy on clean images plus `beta` times KL(p(x) || p(x')), x' chosen to raise that divergence.

    Zhang et al. 2019 (arXiv:1901.08573), equation 5 and Algorithm 1: CIFAR-10 with beta 6, eps 0.031, 10
    steps of 0.007, 100 epochs at learning rate 0.1, divided by 10 at 75 and 90; MNIST with eps 0.3, 40 steps
    of 0.01. The attack starts at a Gaussian of deviation 0.001 around the image. The checkpoint is chosen by
    accuracy under PGD with `steps` steps on the held-out part. The other options are those of
    `defenses.attack_options.AttackOptions`.

    Attributes:
        beta: weight of the divergence, 1/lambda in the paper.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(title="TRADES", paper="Zhang et al. 2019, arXiv:1901.08573")
    beta: float = 6.0
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        AttackOptions.__post_init__(self)
        require(0 < self.beta < float("inf"), "beta", "a positive number", self.beta)

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
        return train(network, data, _TradesLoss(inner, self), options=self, context=context)


@dataclass(frozen=True, slots=True)
class _TradesLoss:
    inner: InnerAttack
    options: TRADES

    def loss(self, x: Images, y: Labels, moment: Moment) -> tuple[Tensor, Outputs]:
        network = self.inner.model.net
        x_adv = self._furthest(x, y, moment)
        clean, attacked = network(x), network(x_adv)
        return trades_loss(clean, attacked, y, self.options.beta), attacked

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        return self.inner.survives(x, y, rng, self.options.eps)

    def _furthest(self, x: Images, y: Labels, moment: Moment) -> Images:
        """Return points of the ball whose predictions differ most from those of the images."""
        import torch

        from defenses.inner_attack import under_attack

        options, eps = self.options, self.options.radius(moment.passed)
        with torch.no_grad(), under_attack(self.inner.model.net, options.attack_mode):
            clean = self.inner.model.net(x).log_softmax(dim=1)

        def divergence(outputs: Outputs, _y: Labels, _kind: OutputKind) -> PerSample:
            per_image: PerSample = (clean.exp() * (clean - outputs.log_softmax(dim=1))).sum(dim=1)
            return per_image

        start = self.inner.threat(eps).project(x, x + START * moment.rng.normal(x))
        step_size = options.step_size or 2.5 * eps / options.steps
        return self.inner.climbed(x, start, y, divergence, eps=eps, steps=options.steps, step_size=step_size)


def trades_loss(clean: Outputs, attacked: Outputs, y: Labels, beta: float) -> Tensor:
    """Return the mean of CE(clean, y) + beta KL(p(clean) || p(attacked)) from logits (B, K)."""
    import torch.nn.functional as F

    natural, robust = clean.log_softmax(dim=1), attacked.log_softmax(dim=1)
    divergence = F.kl_div(robust, natural, reduction="batchmean", log_target=True)
    loss: Tensor = F.cross_entropy(clean, y) + beta * divergence
    return loss
