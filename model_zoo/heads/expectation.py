"""The gradient source for random models: the mean over draws, not one draw.

Expectation over transformation (Athalye, Carlini & Wagner 2018, arXiv:1802.00420, section 4). A network
declares random answers by an attribute `random = True` of any of its modules, and takes its random numbers
from `robench.model.noise`.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from robench.attack.losses import log_probabilities
from robench.model.interface import GradientSource, OutputKind
from robench.model.noise import current_draw, draw, draws
from robench.types import Images, Outputs

NAME = "expectation"
DRAWS = 10
"""Number of draws over which an attacker averages."""


def randomness_in(network: nn.Module) -> list[str]:
    """Return the `extra_repr` of every module that declares random answers; empty if none does.

    An example is `noise=0.1, seed=0`: the settings that decide the answers beside the weights.
    """
    return [part.extra_repr() for part in network.modules() if getattr(part, "random", False) is True]


def expectation(net: nn.Module, source: GradientSource, *, count: int = DRAWS) -> GradientSource:
    """Return the gradient source that averages another over draws 1, 2, ..., as probabilities.

    Logits become the logarithm of the mean of their softmax, so that the cross-entropy is -log E[p_y];
    simplex points are averaged directly. The model's own outputs are those of draw 0, with which it
    classifies and which no attacker sees. One call makes `count` + 1 forward passes. Inside another
    expectation it is the source under the current draw there, and its outputs replace the model's own.

    Args:
        net: the model's network.
        source: the gradient source to average.
        count: how many draws, at least 1.
    """
    simplex = source.output is OutputKind.SIMPLEX

    def mean(x: Images) -> tuple[Outputs, Outputs]:
        parts = []
        for number in draws(count):
            with draw(number):
                outputs = source.surrogate(x)[0]
            parts.append(outputs if simplex else log_probabilities(outputs, source.output))
        table = torch.stack(parts)
        average = table.mean(dim=0) if simplex else table.logsumexp(dim=0) - math.log(len(parts))
        if current_draw():
            return average, average.detach()
        with torch.no_grad():
            return average, net(x)

    kind = OutputKind.SIMPLEX if simplex else OutputKind.LOG_PROBABILITIES
    return GradientSource(
        NAME,
        mean,
        kind,
        forwards=count * source.forwards + 1,
        backwards=count * source.backwards,
        template_free=source.template_free,
        unseen=True,
    )
