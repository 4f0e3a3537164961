"""The optimiser of a training, by the name its options give."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from defenses.training.options import TrainingOptions
from robench.errors import ConfigError


def optimizer_of(parameters: Iterable[nn.Parameter], options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimiser over those parameters that may be trained.

    Raises:
        ConfigError: there are none.
    """
    chosen = [parameter for parameter in parameters if parameter.requires_grad]
    if not chosen:
        raise ConfigError(
            where="train",
            expected="a network with parameters to train",
            got="none",
            do="Remove `train`, or choose another architecture",
        )
    if options.optimizer == "adamw":
        return torch.optim.AdamW(
            chosen,
            lr=options.learning_rate,
            betas=(options.momentum, 0.999),
            weight_decay=options.weight_decay,
        )
    return torch.optim.SGD(
        chosen,
        lr=options.learning_rate,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )
