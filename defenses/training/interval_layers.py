"""Rules of layers and functions for intervals, in operations that autograd can differentiate.

An affine step has its function and its spread, the product of |W| and a radius. A monotone step maps the
ends of an interval to the ends of the result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.types import Values

Function = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a step for intervals.

    Attributes:
        value: the step itself, a function of its inputs.
        spread: of an affine step, radii of its inputs to the radius of its output; None for a monotone one.
        rectifier: whether it is a plain ReLU.
    """

    value: Function
    spread: Function | None = None
    rectifier: bool = False


MONOTONE = (
    nn.LeakyReLU, nn.ReLU6, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.ELU, nn.Softplus, nn.MaxPool2d,
    nn.AdaptiveMaxPool2d,
)  # fmt: skip
POSITIVE = (nn.Identity, nn.Flatten, nn.Unflatten, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.ZeroPad2d)
"""Linear layers without negative weights and without a constant: they are their own spread."""

MONOTONE_FUNCTIONS = (F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool2d, torch.sigmoid, torch.tanh)
POSITIVE_FUNCTIONS = (
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.permute, torch.transpose, torch.mean,
    torch.sum, F.avg_pool2d, F.adaptive_avg_pool2d, operator.getitem,
)  # fmt: skip
POSITIVE_METHODS = (
    "flatten", "view", "reshape", "squeeze", "unsqueeze", "permute", "transpose", "mean", "sum", "contiguous",
)  # fmt: skip


def rule_of_layer(layer: nn.Module, clean: Values) -> Rule | None:
    """Return the rule of a layer, None if there is none.

    Args:
        layer: in training or evaluation mode.
        clean: its input on the images themselves (B, ...): batch norm in training takes its statistics there.
    """
    if isinstance(layer, nn.Linear):
        return Rule(layer, lambda r: F.linear(r, layer.weight.abs()))
    if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
        return Rule(layer, lambda r: layer._conv_forward(r, layer.weight.abs(), None))
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return _batch_norm(layer, clean)
    if isinstance(layer, nn.ReLU):
        return Rule(F.relu, rectifier=True)
    if isinstance(layer, nn.LeakyReLU) and layer.negative_slope < 0:
        return None
    if isinstance(layer, MONOTONE):
        return Rule(layer)
    if isinstance(layer, POSITIVE):
        return Rule(layer, layer)
    if isinstance(layer, nn.Dropout | nn.Dropout2d):
        mask = layer(torch.ones_like(clean))  # one draw for the images and all points around them
        return Rule(lambda x: x * mask, lambda r: r * mask)
    return None


def _batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d, clean: Tensor) -> Rule | None:
    """Return the affine rule of a batch norm, with the statistics of `clean` (B, C, ...) in training."""
    mean, variance = layer.running_mean, layer.running_var
    if layer.training or mean is None or variance is None:
        axes = [axis for axis in range(clean.ndim) if axis != 1]
        mean, variance = clean.mean(axes), clean.var(axes, unbiased=False)
    view = (1, -1, *[1] * (clean.ndim - 2))
    scale = (variance + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight
    shift = -mean * scale if layer.bias is None else layer.bias - mean * scale
    return Rule(
        lambda x: x * scale.view(view) + shift.view(view),
        lambda r: r * scale.abs().view(view),
    )


def rule_of_function(target: Any, known: list[bool], args: tuple[Any, ...]) -> Rule | None:
    """Return the rule of a function, None if there is none; its inputs are the intervals among `args`.

    Args:
        target: the function, or the name of a method.
        known: which of the arguments are intervals.
        args: the arguments, intervals by their values on the images.
    """
    if target in (F.relu, torch.relu, "relu"):
        return Rule(F.relu, rectifier=True)
    if target in (operator.add, torch.add, "add", operator.iadd):
        return Rule(operator.add, operator.add if sum(known) == 2 else lambda r: r)
    if target in (operator.sub, torch.sub, "sub"):
        return Rule(operator.sub, operator.add if sum(known) == 2 else lambda r: r)
    if target in (operator.mul, torch.mul, "mul") and sum(known) == 1:
        factor = args[known.index(False)]
        return Rule(operator.mul, lambda r: r * abs(factor))
    if target in (operator.truediv, torch.div, "div") and known == [True, False]:
        divisor = args[1]
        return Rule(operator.truediv, lambda r: r / abs(divisor))
    return None
