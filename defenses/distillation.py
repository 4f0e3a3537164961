"""Defensive distillation: a network learns another's softened answers. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.option_checks import one_of, positive
from defenses.training.objective import BatchContext, CleanObjective
from defenses.training.options import TrainingOptions
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robench.data.images import ImageSet
    from robench.types import Images, Labels, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation(TrainingOptions):
    """Stage 1 trains a teacher at a temperature, stage 2 the network on the teacher's softened outputs.

    Papernot et al. 2016 (arXiv:1511.04508), sections III and IV: both have one architecture, both are
    trained with logits divided by the temperature (20), and used at temperature 1 afterwards. This gives
    confident outputs and vanishing gradients, which is not robustness (Carlini & Wagner 2017,
    arXiv:1608.04644). Each stage has `epochs` epochs; the teacher is the network with other initial weights,
    and is discarded. The defaults are those for CIFAR-10 (Carlini & Wagner, Table II): 50 epochs at learning
    rate 0.01, halved every 10; MNIST: `learning_rate: 0.1, schedule: constant`. The other options are those
    of `defenses.training.options.TrainingOptions`; checkpoints are chosen by natural accuracy.

    Dividing logits by T makes the first gradients T times shorter, and short trainings stay at chance level.
    The paper does not rescale the loss; here it is multiplied by T, so that the first gradients are as long
    as in natural training. (Hinton et al. 2015, arXiv:1503.02531, section 2, multiply the loss on soft
    targets by T^2; with labels as targets the first gradients are then T times as long as in natural
    training.)

    Attributes:
        temperature: logits are divided by it during training; above 0.
        scale: factor of the loss: `none`: 1, `temperature`: T, `squared`: T^2.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Defensive distillation",
        paper="Papernot et al. 2016, arXiv:1511.04508",
        bibtex=paper("papernot2016distillation"),
    )
    epochs: int = 50
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"
    temperature: float = 20.0
    scale: Literal["none", "temperature", "squared"] = "temperature"

    MILESTONES: ClassVar[tuple[float, ...]] = (10 / 50, 20 / 50, 30 / 50, 40 / 50)
    GAMMA: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        TrainingOptions.__post_init__(self)
        positive(temperature=self.temperature)
        one_of("scale", self.scale, ("none", "temperature", "squared"))

    @property
    def factor(self) -> float:
        """The factor of the loss."""
        return {"none": 1.0, "temperature": self.temperature, "squared": self.temperature**2}[self.scale]

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`."""
        from torch import nn

        from defenses.training.loop import train_stages
        from defenses.training.network_state import fresh_copy
        from defenses.training.objective import Stage
        from defenses.training.split import split

        training_set, validation_set = split(data, self.validation, context.seed)
        teacher = fresh_copy(network, context.seed, "teacher")
        hard = SoftenedLoss(teacher, None, self.temperature, self.factor)
        soft = SoftenedLoss(network, teacher, self.temperature, self.factor)
        return train_stages(
            [
                Stage(network=teacher, objective=hard, options=self, training_set=training_set),
                Stage(network=network, objective=soft, options=self, training_set=training_set),
            ],
            network=nn.ModuleDict({"network": network, "teacher": teacher}),
            data=data,
            validation_set=validation_set,
            options=self,
            context=context,
        )


@dataclass(frozen=True, slots=True)
class SoftenedLoss(CleanObjective):
    """Cross-entropy at a temperature, against labels or a teacher's outputs at the same temperature."""

    network: nn.Module
    teacher: nn.Module | None
    temperature: float
    factor: float = 1.0

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss, at least 0, and the logits (B, K) of the images.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: not used; the loss is the same in every epoch.
        """
        import torch
        import torch.nn.functional as F

        del batch
        logits: Outputs = self.network(x)
        target: Tensor = y
        if self.teacher is not None:
            with torch.no_grad():
                target = (self.teacher.eval()(x) / self.temperature).softmax(dim=1)
        return self.factor * F.cross_entropy(logits / self.temperature, target), logits
