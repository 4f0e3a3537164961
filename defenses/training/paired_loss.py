"""What TRADES and MART share: a loss of clean and attacked outputs of the same images. No torch at import."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.training.attack_options import AttackOptions, pgd

if TYPE_CHECKING:
    from torch import Tensor, nn

    from defenses.training.inner_attack import InnerAttack
    from defenses.training.objective import Moment
    from robench.data.images import ImageSet
    from robench.model.defense import TrainingContext
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, PerSample


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedOptions(AttackOptions):
    """The options and the way of a defense whose loss is a `PairedLoss`; the radius does not grow."""

    warmup_epochs: float = 0.0
    nesterov: bool = False
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"

    def objective(self, inner: InnerAttack) -> PairedLoss:
        """Return what is minimised; `inner` crafts by PGD and judges the held-out part."""
        raise NotImplementedError

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train `network` in place; see `robench.model.Defense`."""
        from defenses.training.inner_attack import inner_attack
        from defenses.training.loop import train

        attack = pgd(steps=self.steps, step_size=self.step_size)
        inner = inner_attack(self, network, len(data.classes), attack)
        return train(network, data, self.objective(inner), options=self, context=context)


@dataclass(frozen=True, slots=True)
class PairedLoss(ABC):
    """Attacks the batch, runs network on both, and hands clean and attacked outputs to a formula."""

    adversarial: ClassVar[bool] = True
    inner: InnerAttack
    options: AttackOptions

    @abstractmethod
    def combined(self, clean: Outputs, attacked: Outputs, y: Labels) -> Tensor:
        """Return the mean loss from logits (B, K) of clean and of attacked images."""

    def found(self, x: Images, y: Labels, moment: Moment) -> Images:
        """Return the attacked images; here by PGD on the cross-entropy."""
        return self.inner.crafted(x, y, moment.rng, self.options.radius(moment.passed))

    def loss(self, x: Images, y: Labels, moment: Moment) -> tuple[Tensor, Outputs]:
        """Attack the batch, then take the loss; see `defenses.training.objective.Objective`."""
        network = self.inner.model.net
        x_adv = self.found(x, y, moment)
        clean, attacked = network(x), network(x_adv)
        return self.combined(clean, attacked, y), attacked

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Judge at the full radius; see `defenses.training.objective.Objective`."""
        return self.inner.survives(x, y, rng, self.options.eps)


def divergence(clean: Outputs, attacked: Outputs) -> PerSample:
    """Return KL(p(clean) || p(attacked)) per image (B,) from logits (B, K)."""
    natural, robust = clean.log_softmax(dim=1), attacked.log_softmax(dim=1)
    per_image: PerSample = (natural.exp() * (natural - robust)).sum(dim=1)
    return per_image
