"""What a network is read as: values by their node, the batch, constants; and how it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from robench.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Ref:
    """The values of a node while a network is read."""

    number: int


class Batch:
    """The length of the batch, where a network asks for it."""

    __slots__ = ()


class Unbounded(Exception):  # noqa: N818 - never leaves this package: it becomes a ConfigError with the layer's name
    """An operation has no bound; the text says why."""


def exact(tensor: Tensor) -> Tensor:
    """Return constants in float64, apart from the user's; refuse what is not a finite real number."""
    if tensor.is_complex() or tensor.is_quantized:
        raise Unbounded("weights that are no real numbers")
    values = tensor.detach().to("cpu", torch.float64, copy=True)
    if not bool(torch.isfinite(values).all()):
        raise Unbounded("weights that are not finite")
    return values


def pair(value: Any) -> tuple[int, int]:
    """Return a setting for both axes."""
    if isinstance(value, int):
        return value, value
    values = tuple(value)
    return cast("tuple[int, int]", values * 2 if len(values) == 1 else values)


def told(value: Any) -> str:
    """Return a shape for a message, the batch by its name."""
    return str(tuple("batch" if isinstance(v, Batch) else v for v in value))


def refusal(layer: str, why: str) -> ConfigError:
    """Return the error for a layer that has no bound."""
    return ConfigError(
        where=f"layer {layer}",
        expected="linear and convolution layers, ReLU, pooling, batch norm and sums, which bounds know",
        got=why,
        do="See docs/bounds.md for what is bounded; attacks and smoothing do without bounds",
    )
