"""Symbols for reading a network: values by their node, the batch, constants; and the error for refusals."""

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
    """The length of the batch, if a network uses it."""

    __slots__ = ()


class Unbounded(Exception):  # noqa: N818 - never leaves this package: it becomes a ConfigError with the layer's name
    """An operation has no bound; the text says why."""


def exact(tensor: Tensor) -> Tensor:
    """Return a copy of constants in float64; refuse anything that is not finite and real."""
    if tensor.is_complex() or tensor.is_quantized:
        raise Unbounded("weights that are not real numbers")
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
    """Return a shape for a message, with the batch as a word."""
    return str(tuple("batch" if isinstance(v, Batch) else v for v in value))


def refusal(layer: str, why: str) -> ConfigError:
    """Return the error for a layer that has no bound."""
    return ConfigError(
        where=f"layer {layer}",
        expected="linear and convolution layers, ReLU, pooling, batch norm and sums, which bounds know",
        got=why,
        do="See docs/bounds.md for what is bounded; attacks and smoothing do without bounds",
    )
