"""The options every training defense shares, and the learning rate they give. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from robench.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How long and how fast to train, on what part of the data, and which weights to keep.

    Attributes:
        epochs: passes over the training rows.
        batch_size: most images per step; an epoch is cut into steps that differ by at most one image, so
            no tiny batch is left over for batch-norm.
        optimizer: `sgd`, or `adamw` (Loshchilov & Hutter 2019, arXiv:1711.05101).
        learning_rate: of the optimiser, at its highest.
        momentum: of SGD; of AdamW it is the first beta, and the second is 0.999.
        nesterov: whether SGD's momentum is Nesterov's (WNLL paper, Algorithms 1 and 3); AdamW has no such
            choice.
        weight_decay: L2 penalty on every parameter; decoupled from the gradient in AdamW.
        schedule: `constant`; `multistep`: times `gamma` after each epoch count in `milestones`; `cosine`:
            half a cosine down to 0 (Loshchilov & Hutter 2017, arXiv:1608.03983); `cyclic`: a straight line
            up from 0 during the first `warm_up` of all steps and another down to 0 (Smith 2018,
            arXiv:1803.09820; Wong et al. 2020, arXiv:2001.03994).
        milestones: epochs after which `multistep` lowers the rate.
        gamma: factor of `multistep`.
        warm_up: fraction of all steps that `cyclic` rises.
        validation: fraction of the training data held out to choose the checkpoint; never trained on.
        keep: `best` on the held-out part (natural accuracy, or robust accuracy for adversarial training; the
            earliest of equals), or `last`.
        clip_norm: largest L2 norm of the gradient of all parameters together, None for no clipping.
        augmentation: `none`, or `crop_flip`: pad by 4, crop at random, mirror at random (CIFAR).
        average: which weights are judged and kept: `none`: those of the last step; `ema`: their exponential
            moving average over steps; `swa`: their mean over the last epochs (Izmailov et al. 2018,
            arXiv:1803.05407), best with schedule `constant`.
        average_decay: share of the old mean that `ema` keeps at each step, at most.
        average_start: fraction of the epochs after which `swa` begins.

    Raises:
        ConfigError: a value means nothing, or two contradict each other.
    """

    epochs: int
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "cosine"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warm_up: float = 0.3
    validation: float = 0.05
    keep: Literal["best", "last"] = "best"
    clip_norm: float | None = None
    augmentation: Literal["none", "crop_flip"] = "none"
    average: Literal["none", "ema", "swa"] = "none"
    average_decay: float = 0.999
    average_start: float = 0.75

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(_positive(self.learning_rate), "learning_rate", "a positive number", self.learning_rate)
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
        rising = sorted(set(self.milestones)) == list(self.milestones)
        inside = all(0 < m < self.epochs for m in self.milestones)
        expected = f"rising epoch counts from 1 to {self.epochs - 1}"
        require(rising and inside, "milestones", expected, list(self.milestones))
        lone = bool(self.milestones) and self.schedule != "multistep"
        require(not lone, "milestones", "none, for this schedule", self.schedule, "Set schedule: multistep")
        require(_positive(self.gamma), "gamma", "a positive number", self.gamma)
        require(0 < self.warm_up < 1, "warm_up", "a fraction between 0 and 1", self.warm_up)
        require(0 <= self.validation < 1, "validation", "a fraction in [0, 1)", self.validation)
        if self.keep == "best":
            require(self.validation > 0, "validation", "a held-out part to choose by", 0, "Or set keep: last")
        if self.clip_norm is not None:
            require(_positive(self.clip_norm), "clip_norm", "a positive number", self.clip_norm)


def learning_rate(options: TrainingOptions, step: int, steps: int) -> float:
    """Return the learning rate of one step.

    Args:
        options: the schedule.
        step: counted from 0 over the whole training.
        steps: how many there are in the whole training; `cosine` and `cyclic` are read at the middle of
            each, so no step has rate 0.
    """
    passed = (step + 0.5) / steps
    match options.schedule:
        case "constant":
            factor = 1.0
        case "multistep":
            epoch = step * options.epochs // steps
            factor = options.gamma ** sum(epoch >= milestone for milestone in options.milestones)
        case "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * passed))
        case "cyclic":
            factor = min(passed / options.warm_up, (1 - passed) / (1 - options.warm_up))
    return options.learning_rate * factor


def require(ok: bool, option: str, expected: str, got: object, do: str = "") -> None:
    """Refuse an option's value.

    Raises:
        ConfigError: `ok` is false.
    """
    if not ok:
        raise ConfigError(where=option, expected=expected, got=repr(got), do=do)


def one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a word that an option does not know.

    Raises:
        ConfigError: the value is none of `known`.
    """
    require(value in known, option, "one of " + ", ".join(known), value)


def _positive(value: float) -> bool:
    return 0 < value < math.inf
