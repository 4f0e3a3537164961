"""The base of TRADES and MART: a loss that penalises KL(p(x) || p(x_adv)). No torch at import."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.training.inner_attack import AttackOptions, InnerAttack, pgd

if TYPE_CHECKING:
    from torch import nn

    from defenses.training.objective import BatchContext
    from robench.data.images import ImageSet
    from robench.model.defense import TrainingContext
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, PerSample, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class KLPenaltyOptions(AttackOptions, ABC):
    """A defense whose loss is a `KLPenaltyLoss`; its radius does not grow."""

    warmup_epochs: float = 0.0
    nesterov: bool = False
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"

    @abstractmethod
    def objective(self, inner: InnerAttack) -> KLPenaltyLoss:
        """Return the objective; `inner` crafts by PGD and judges the held-out part."""

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`."""
        from defenses.training.loop import train

        attack = pgd(steps=self.steps, step_size=self.step_size)
        inner = self.inner_attack(network, len(data.classes), attack)
        return train(network, data, self.objective(inner), options=self, context=context)


@dataclass(frozen=True, slots=True)
class KLPenaltyLoss(ABC):
    """Attacks the batch, and applies a formula to the outputs on clean and attacked images."""

    adversarial: ClassVar[bool] = True
    inner: InnerAttack
    options: AttackOptions

    @abstractmethod
    def formula(self, clean: Outputs, attacked: Outputs, y: Labels) -> Scalar:
        """Return the mean loss, a scalar of at least 0.

        Args:
            clean: logits (B, K) of clean images.
            attacked: logits (B, K) of attacked images.
            y: labels (B,), from 0 to K - 1.
        """

    def attacked_images(self, x: Images, y: Labels, batch: BatchContext) -> Images:
        """Return the attacked images (B, C, H, W) in [0, 1]; here by PGD on the cross-entropy.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: the progress of the stage, and the randomness of these images.
        """
        return self.inner.craft(x, y, batch.rng, self.options.radius(batch.epochs_passed))

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Attack the batch; return the mean loss, at least 0, and the logits (B, K) of the attacked images.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: the progress of the stage, and the randomness of these images.
        """
        network = self.inner.model.net
        x_adv = self.attacked_images(x, y, batch)
        clean, adversarial = network(x), network(x_adv)
        return self.formula(clean, adversarial, y), adversarial

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Tell which images (B,) withstand the attack at the full radius.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            rng: randomness of these images.
        """
        return self.inner.survives(x, y, rng, self.options.eps)


def kl_divergence(clean: Outputs, attacked: Outputs) -> PerSample:
    """Return KL(p(clean) || p(attacked)) per image (B,), at least 0, from logits (B, K)."""
    natural, robust = clean.log_softmax(dim=1), attacked.log_softmax(dim=1)
    per_image: PerSample = (natural.exp() * (natural - robust)).sum(dim=1)
    return per_image
