"""PGD adversarial training of networks with noise in their blocks. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.pgd_training import PGDTraining
from robench.errors import ConfigError
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class FeynmanKac(PGDTraining):
    """PGD adversarial training of a Feynman-Kac ensemble: all members together, noise on throughout.

    Wang, Yuan, Shi & Osher 2018 (arXiv:1811.10745), settings of the authors' code for CIFAR-10
    (https://github.com/BaoWangMath/EnResNet): eps 0.031, 10 steps of 0.007 from a random start, the attacker
    seeing noise and batch-norm as in training; 200 epochs in batches of 128 at learning rate 0.1, divided by
    10 at 80, 120 and 160; crops and mirrors. The held-out part is judged with the noise of evaluation, by the
    same attack through the draw the model classifies with. The other options are those of
    `defenses.pgd_training.PGDTraining`.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Feynman-Kac ensemble training",
        paper="Wang et al. 2018, arXiv:1811.10745",
        bibtex=paper("wang2019resnets"),
    )
    MILESTONES: ClassVar[tuple[float, ...]] = (0.4, 0.6, 0.8)
    epochs: int = 200
    learning_rate: float = 0.1
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"
    augmentation: Literal["none", "crop_flip"] = "crop_flip"
    eps: float = 0.031
    step_size: float | None = 0.007
    warmup_epochs: float = 0.0
    attack_mode: Literal["eval", "train"] = "train"

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`.

        Raises:
            ConfigError: the network injects no noise, which makes it PGD adversarial training.
        """
        if not any(getattr(part, "random", False) is True for part in network.modules()):
            raise ConfigError(
                where="feynman_kac",
                expected="a network that injects noise (a module with `random = True`)",
                got=f"{type(network).__name__} without any",
                do="Choose `en_resnet20` with noise above 0, or train by `pgd_training`",
            )
        return PGDTraining.__call__(self, network, data, context=context)
