"""Fast adversarial training: one step from a random start instead of PGD. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.training.inner_attack import AttackOptions, InnerAttack, pgd
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from defenses.training.objective import BatchContext
    from robench.data.images import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, Scalar

STRETCH = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Fast(AttackOptions):
    """Cross-entropy on images attacked by FGSM from a uniformly random point of the ball.

    Wong, Rice & Kolter 2020 ("Fast is better than free", arXiv:2001.03994), Algorithm 3: step 1.25 eps, the
    attacker's passes in training mode. The defaults are those for CIFAR-10 (eps 8/255): 15 epochs, a cyclic
    learning rate up to 0.2 at two fifths. MNIST (eps 0.3): 10 epochs of Adam, the rate going up to 0.005.
    One step can be overfitted to ("catastrophic overfitting", section 5): the checkpoint is therefore chosen
    by accuracy under PGD with `steps` steps on the held-out part, where the collapse shows. The other options
    are those of `defenses.training.inner_attack.AttackOptions`, with these meanings:

    Attributes:
        steps: of PGD on the held-out part; the training attack has one.
        step_size: length of the one step of the training attack; by default 1.25 times the current radius.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Fast adversarial training",
        paper="Wong et al. 2020, arXiv:2001.03994",
        bibtex=paper("wong2020fast"),
    )
    epochs: int = 15
    learning_rate: float = 0.2
    nesterov: bool = False
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "cyclic"
    warm_up: float = 0.4
    warmup_epochs: float = 0.0
    attack_mode: Literal["eval", "train"] = "train"

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`."""
        from defenses.training.loop import train

        inner = self.inner_attack(network, len(data.classes), pgd(steps=self.steps))
        return train(network, data, _FastLoss(inner, self), options=self, context=context)


@dataclass(frozen=True, slots=True)
class _FastLoss:
    adversarial: ClassVar[bool] = True
    inner: InnerAttack
    options: Fast

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean cross-entropy at the end of one step, and the logits (B, K) there (Algorithm 3).

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: the progress of the stage, and the randomness of these images.
        """
        import torch.nn.functional as F

        logits: Outputs = self.inner.model.net(self.attacked(x, y, batch))
        return F.cross_entropy(logits, y), logits

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Tell which images (B,) withstand PGD of `steps` steps at the full radius `eps`.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            rng: randomness of these images.
        """
        return self.inner.survives(x, y, rng, self.options.eps)

    def attacked(self, x: Images, y: Labels, batch: BatchContext) -> Images:
        """Return the images (B, C, H, W) in [0, 1] after one step from a random start."""
        from robench.attack.losses import cross_entropy

        eps = self.options.radius(batch.epochs_passed)
        start = self.inner.threat(eps).sample(x, batch.rng)
        step_size = self.options.step_size or STRETCH * eps
        return self.inner.ascend(x, start, y, cross_entropy, eps=eps, steps=1, step_size=step_size)
