"""The options, optimiser and learning rate that every training defense shares. No torch at import."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.option_checks import at_least_one, one_of, positive, require, within_box
from robench.errors import ConfigError
from robench.plan.spec import LATER

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """Length and rates of a training, the held-out part of the data, and the choice of weights.

    Attributes:
        epochs: passes over the training rows, at least 1.
        batch_size: most images per step, at least 1; an epoch is cut into steps that differ by at most one
            image, so no tiny batch is left over for batch-norm.
        optimizer: `sgd`, or `adamw` (Loshchilov & Hutter 2019, arXiv:1711.05101).
        learning_rate: of the optimiser, at its highest; above 0.
        momentum: of SGD, from 0 and below 1; of AdamW it is the first beta, and the second is 0.999.
        nesterov: whether SGD's momentum is Nesterov's (WNLL paper, Algorithms 1 and 3); AdamW has no such
            choice.
        weight_decay: L2 penalty on every parameter, at least 0; decoupled from the gradient in AdamW.
        schedule: `constant`; `multistep`: times `gamma` after each epoch count in `milestones`; `cosine`:
            half a cosine down to 0 (Loshchilov & Hutter 2017, arXiv:1608.03983); `cyclic`: a straight line
            up from 0 during the first `warm_up` of all steps and another down to 0 (Smith 2018,
            arXiv:1803.09820; Wong et al. 2020, arXiv:2001.03994).
        milestones: epochs after which `multistep` lowers the rate. None: those of the method's paper, at the
            same fractions of `epochs`; those that fall together or onto an end are dropped.
        gamma: factor of `multistep`, above 0. None: that of the method's paper.
        warm_up: fraction of all steps that `cyclic` rises, between 0 and 1.
        validation: fraction of the training data, from 0 and below 1, held out to choose the checkpoint;
            never trained on.
        keep: `best` on the held-out part (natural accuracy, or robust accuracy for adversarial training; the
            earliest of equals), or `last`.
        clip_norm: largest L2 norm of the gradient of all parameters together, above 0; None for no clipping.
        augmentation: `none`, or `crop_flip`: pad by 4, crop at random, mirror at random (CIFAR).
        average: the weights that are judged and stored: `none`: those of the last step; `ema`: their
            exponential moving average over steps; `swa`: their mean over the last epochs (Izmailov et al.
            2018, arXiv:1803.05407), best with schedule `constant`.
        average_decay: largest share of the old mean that `ema` keeps at each step.
        average_start: fraction of the epochs, from 0 and below 1, after which `swa` begins.
        monitor_eps: radius of a PGD attack on the held-out part after every epoch, for the history. None: the
            defense's own attack; a defense without an attack has no robust accuracy then. It does not choose
            checkpoints: `keep` does.
        monitor_norm: norm of that radius; under Linf it is at most 1.
        monitor_steps: steps of that attack.
        precision: of passes through networks in training steps, including those of the inner attack:
            `float32`, or `bfloat16` where autocast allows it. Weights, optimiser, losses and the evaluation
            of the held-out part stay in float32. float16 is not offered: its range is so small that gradients
            vanish without a loss scaler, which would add state and skipped steps to a training.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    epochs: int
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "cosine"
    milestones: tuple[int, ...] | None = None
    gamma: float | None = None
    warm_up: float = 0.3
    validation: float = 0.05
    keep: Literal["best", "last"] = "best"
    clip_norm: float | None = None
    augmentation: Literal["none", "crop_flip"] = "none"
    average: Literal["none", "ema", "swa"] = "none"
    average_decay: float = 0.999
    average_start: float = 0.75
    monitor_eps: float | None = field(default=None, metadata=LATER)
    monitor_norm: Literal["Linf", "L2"] = field(default="Linf", metadata=LATER)
    monitor_steps: int = field(default=10, metadata=LATER)
    precision: Literal["float32", "bfloat16"] = field(default="float32", metadata=LATER)

    MILESTONES: ClassVar[tuple[float, ...]] = ()
    GAMMA: ClassVar[float] = 0.1

    def __post_init__(self) -> None:
        """Fill in the paper's schedule; refuse values that would fail, or silently do nothing, much later."""
        stepwise = self.schedule == "multistep"
        if self.milestones is None:
            milestones = scaled_milestones(self.MILESTONES, self.epochs) if stepwise else ()
            object.__setattr__(self, "milestones", milestones)
        if self.gamma is None:
            object.__setattr__(self, "gamma", self.GAMMA if stepwise else 0.1)
        at_least_one(epochs=self.epochs, batch_size=self.batch_size)
        positive(learning_rate=self.learning_rate)
        require(0 <= self.momentum < 1, "momentum", "a number in [0, 1)", self.momentum)
        one_of("optimizer", self.optimizer, ("sgd", "adamw"))
        if self.nesterov and self.optimizer == "sgd":
            require(self.momentum > 0, "momentum", "a positive number", 0, "Or set nesterov: false")
        require(0 <= self.weight_decay < math.inf, "weight_decay", "at least 0", self.weight_decay)
        one_of("schedule", self.schedule, ("constant", "multistep", "cosine", "cyclic"))
        one_of("keep", self.keep, ("best", "last"))
        one_of("augmentation", self.augmentation, ("none", "crop_flip"))
        one_of("average", self.average, ("none", "ema", "swa"))
        require(0 <= self.average_decay < 1, "average_decay", "a number in [0, 1)", self.average_decay)
        require(0 <= self.average_start < 1, "average_start", "a fraction in [0, 1)", self.average_start)
        milestones, gamma = milestones_and_gamma(self)
        rising = sorted(set(milestones)) == list(milestones)
        inside = all(0 < m < self.epochs for m in milestones)
        expected = f"rising epoch counts from 1 to {self.epochs - 1}"
        require(rising and inside, "milestones", expected, list(milestones))
        lone = bool(milestones) and not stepwise
        require(not lone, "milestones", "none, for this schedule", self.schedule, "Set schedule: multistep")
        positive(gamma=gamma)
        require(0 < self.warm_up < 1, "warm_up", "a fraction between 0 and 1", self.warm_up)
        require(0 <= self.validation < 1, "validation", "a fraction in [0, 1)", self.validation)
        if self.keep == "best":
            require(self.validation > 0, "validation", "a held-out part to choose by", 0, "Or set keep: last")
        positive(clip_norm=self.clip_norm)
        one_of("precision", self.precision, ("float32", "bfloat16"))
        one_of("monitor_norm", self.monitor_norm, ("Linf", "L2"))
        at_least_one(monitor_steps=self.monitor_steps)
        positive(monitor_eps=self.monitor_eps)
        within_box(self.monitor_norm, monitor_eps=self.monitor_eps)
        if self.monitor_eps is not None:
            require(self.validation > 0, "validation", "a held-out part to attack", 0, "Or drop monitor_eps")


def scaled_milestones(fractions: tuple[float, ...], epochs: int) -> tuple[int, ...]:
    """Return the epoch counts nearest to fractions of a training, without doubles and without its ends.

    Example:
        >>> scaled_milestones((1 / 4, 1 / 2, 3 / 4), 6)
        (2, 3, 5)
    """
    # 0.5 up, where round() goes to the even neighbour.
    counts = {math.floor(fraction * epochs + 0.5) for fraction in fractions}
    return tuple(sorted(counts - {0, epochs}))


def milestones_and_gamma(options: TrainingOptions) -> tuple[tuple[int, ...], float]:
    """Return the milestones and the factor of `multistep`; the paper's values if none were given."""
    assert options.milestones is not None  # filled in when the options were made
    assert options.gamma is not None
    return options.milestones, options.gamma


def optimizer_of(parameters: Iterable[nn.Parameter], options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimiser over the trainable parameters.

    Raises:
        ConfigError: there are none.
    """
    import torch

    weights = [parameter for parameter in parameters if parameter.requires_grad]
    if not weights:
        raise ConfigError(
            where="train",
            expected="a network with parameters to train",
            got="none",
            do="Remove `train`, or choose another architecture",
        )
    rate, decay = options.learning_rate, options.weight_decay
    if options.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=rate, betas=(options.momentum, 0.999), weight_decay=decay)
    return torch.optim.SGD(
        weights, lr=rate, momentum=options.momentum, nesterov=options.nesterov, weight_decay=decay
    )


def learning_rate(options: TrainingOptions, step: int, steps: int) -> float:
    """Return the learning rate of one step.

    Args:
        options: the schedule.
        step: counted from 0 over the whole training.
        steps: how many there are in the whole training; `cosine` and `cyclic` are read at the middle of
            each, so no step has rate 0.
    """
    progress = (step + 0.5) / steps
    match options.schedule:
        case "constant":
            factor = 1.0
        case "multistep":
            epoch = step * options.epochs // steps
            milestones, gamma = milestones_and_gamma(options)
            factor = gamma ** sum(epoch >= milestone for milestone in milestones)
        case "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * progress))
        case "cyclic":
            factor = min(progress / options.warm_up, (1 - progress) / (1 - options.warm_up))
    return options.learning_rate * factor
