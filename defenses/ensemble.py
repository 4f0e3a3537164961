"""Ensemble adversarial training: adversarial images come from other networks too. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.natural import CleanLoss
from defenses.option_checks import at_least_one, one_of, positive, within_box
from defenses.training.inner_attack import InnerAttack, model_of
from defenses.training.options import TrainingOptions, milestones_and_gamma
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from defenses.training.objective import BatchContext
    from robench.data.images import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble(TrainingOptions):
    """Half the loss on clean images, half on FGSM images of one of several networks, drawn per batch.

    Tramer et al. 2018 (arXiv:1705.07204), section 3.4 and 4.1. The defaults are those for MNIST (eps 0.3; the
    paper has no CIFAR-10): three static networks trained for 6 epochs, then 12 epochs, Adam at 0.001 in
    batches of 64. The source of a batch is drawn from the static networks and the one in training. The static
    networks have other architectures in the paper; here they have the network's own with other initial
    weights, and are trained naturally in stages of their own before. The paper stores their adversarial
    images; they are made when needed here, which gives the same images. The checkpoint is chosen by the
    threat of the paper, black-box transfer: accuracy under the FGSM images of every static network on the
    held-out part, `validation_own_accuracy` in the history; the robust accuracy there is that under
    white-box PGD at `monitor_eps`, by default `eps`. The other options are those of
    `defenses.training.options.TrainingOptions`.

    Attributes:
        eps: radius of the ball, in input units; above 0, under Linf at most 1.
        norm: `Linf` or `L2`.
        others: number of static networks, at least 1.
        other_epochs: epochs of training of each of them, at least 1.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Ensemble adversarial training",
        paper="Tramer et al. 2018, arXiv:1705.07204",
        bibtex=paper("tramer2018ensemble"),
    )
    epochs: int = 12
    batch_size: int = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "constant"
    eps: float
    norm: Literal["Linf", "L2"] = "Linf"
    others: int = 3
    other_epochs: int = 6

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        TrainingOptions.__post_init__(self)
        positive(eps=self.eps)
        at_least_one(others=self.others, other_epochs=self.other_epochs)
        one_of("norm", self.norm, ("Linf", "L2"))
        within_box(self.norm, eps=self.eps)

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
        others = [fresh_copy(network, context.seed, "other", number) for number in range(self.others)]
        milestones = tuple(m for m in milestones_and_gamma(self)[0] if m < self.other_epochs)
        shorter = replace(self, epochs=self.other_epochs, milestones=milestones)
        stages = [
            Stage(network=other, objective=CleanLoss(other), options=shorter, training_set=training_set)
            for other in others
        ]
        objective = _EnsembleLoss(network, tuple(others), self, len(data.classes))
        options = self
        if self.monitor_eps is None and validation_set is not None:
            options = replace(self, monitor_eps=self.eps, monitor_norm=self.norm)
        stages.append(Stage(network=network, objective=objective, options=options, training_set=training_set))
        return train_stages(
            stages,
            network=nn.ModuleList([network, *others]),
            data=data,
            validation_set=validation_set,
            options=self,
            context=context,
        )


@dataclass(frozen=True, slots=True)
class _EnsembleLoss:
    adversarial: ClassVar[bool] = True
    network: nn.Module
    others: tuple[nn.Module, ...]
    options: Ensemble
    classes: int

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean of both cross-entropies, and the logits (B, K) of attacked images (section 3.4).

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: its randomness chooses the network that is attacked; the progress is not used.
        """
        import torch.nn.functional as F

        sources = (*self.others, self.network)
        source = sources[batch.rng.split("source").torch_seed() % len(sources)]
        x_adv = self.attacked(source, x, y)
        clean, adversarial = self.network(x), self.network(x_adv)
        return (F.cross_entropy(clean, y) + F.cross_entropy(adversarial, y)) / 2, adversarial

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Tell which images (B,) stay right when attacked on each of the other networks in turn.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            rng: not used; one step of FGSM has no chance in it.
        """
        import torch

        from robench.model.interface import predictions

        del rng
        standing = torch.ones_like(y, dtype=torch.bool)
        for other in self.others:
            with torch.no_grad():
                standing &= predictions(self.network(self.attacked(other, x, y))) == y
        return standing

    def attacked(self, source: nn.Module, x: Images, y: Labels) -> Images:
        """Return FGSM images (B, C, H, W) in [0, 1] of a network in evaluation mode (section 4.1)."""
        from robench.attack.losses import cross_entropy

        eps = self.options.eps
        inner = InnerAttack(model=model_of(source, self.classes), norm=self.options.norm)
        return inner.ascend(x, x, y, cross_entropy, eps=eps, steps=1, step_size=eps)
