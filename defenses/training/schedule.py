"""The learning rate of each step of a training."""

from __future__ import annotations

import math

from defenses.training.options import TrainingOptions, milestones_and_gamma


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
