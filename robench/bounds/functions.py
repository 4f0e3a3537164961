"""Functions and methods of torch as affine operations and rectifiers; all others are refused by name."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from robench.bounds.operations import Sum
from robench.bounds.pooling import adaptive_average_pooled, adaptive_max_pooled, average_pooled, max_pooled
from robench.bounds.reader import Reader
from robench.bounds.shapes import (
    attribute,
    indexed,
    joined,
    padded,
    permuted,
    same,
    size,
    squeezed,
    transposed,
    unsqueezed,
)
from robench.bounds.symbols import Ref, Unbounded, exact


def _add(reader: Reader, one: Any, other: Any, *, alpha: float = 1, sign: float = 1.0) -> Any:
    if alpha != 1:
        raise Unbounded("an addition with alpha")
    if isinstance(one, Ref) and isinstance(other, Ref):
        return reader.add(Sum((1.0, sign)), one, _like(reader, one, other, "a sum"))
    if isinstance(one, Ref):
        return reader.scaled(one, 1.0, sign * torch.as_tensor(other))
    return reader.scaled(other, sign, one)


def _subtract(reader: Reader, one: Any, other: Any) -> Any:
    return _add(reader, one, other, sign=-1.0)


def _like(reader: Reader, one: Ref, other: Ref, what: str) -> Ref:
    """Return values that have the shape of others."""
    if reader.shape_of(one) != reader.shape_of(other):
        got = f"{reader.shape_of(one)} and {reader.shape_of(other)}"
        raise Unbounded(f"{what} of values of different shapes, {got}")
    return other


def _maximum(reader: Reader, one: Any, other: Any) -> Ref:
    if isinstance(one, Ref) and isinstance(other, Ref):
        return reader.larger(one, _like(reader, one, other, "a maximum"))
    x, constant = (one, exact(other)) if isinstance(one, Ref) else (other, exact(one))
    return reader.scaled(reader.rectified(reader.scaled(x, 1.0, -constant)), 1.0, constant)


def _minimum(reader: Reader, one: Any, other: Any) -> Ref:
    if isinstance(one, Ref) and isinstance(other, Ref):
        apart = reader.add(Sum((1.0, -1.0)), one, _like(reader, one, other, "a minimum"))
        return reader.add(Sum((1.0, -1.0)), one, reader.rectified(apart))
    x, constant = (one, exact(other)) if isinstance(one, Ref) else (other, exact(one))
    return reader.scaled(reader.rectified(reader.scaled(x, -1.0, constant)), -1.0, constant)


def _multiply(reader: Reader, one: Any, other: Any) -> Any:
    if isinstance(one, Ref) and isinstance(other, Ref):
        raise Unbounded("a product of two values that both depend on the image")
    return reader.scaled(one, other, 0.0) if isinstance(one, Ref) else reader.scaled(other, one, 0.0)


def _divide(reader: Reader, one: Any, other: Any) -> Any:
    if not isinstance(one, Ref) or isinstance(other, Ref):
        raise Unbounded("a division by values that depend on the image")
    return reader.scaled(one, 1 / exact(torch.as_tensor(other)), 0.0)


def _batch_normed(
    reader: Reader,
    x: Ref,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Ref:
    del momentum
    if training or running_mean is None or running_var is None:
        raise Unbounded("a batch norm that depends on the other images of a batch")
    return reader.normalised(x, running_mean, running_var, weight, bias, eps)


def _dropped(reader: Reader, x: Ref, p: float = 0.5, training: bool = True, inplace: bool = False) -> Ref:
    del reader, inplace
    if training and p > 0:
        raise Unbounded("dropout that is on in evaluation mode")
    return x


def _cloned(reader: Reader, x: Ref, *, memory_format: Any = None) -> Ref:
    del memory_format
    return reader.gathered(x, lambda t: t)


def _mean(reader: Reader, x: Ref, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Ref:
    _check_type(dtype)
    return reader.averaged(x, dim, keepdim)


def _sum(reader: Reader, x: Ref, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Ref:
    _check_type(dtype)
    return reader.averaged(x, dim, keepdim, mean=False)


def _check_type(dtype: Any) -> None:
    if dtype not in (None, torch.float32, torch.float64):
        raise Unbounded(f"a mean or sum in {dtype}")


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.linear: lambda r, x, weight, bias=None: r.linear(x, weight, bias),
    F.conv2d: lambda r, x, *a, **k: r.convolution(x, *a, **k),
    F.batch_norm: _batch_normed,
    F.relu: lambda r, x, inplace=False: r.rectified(x),
    torch.relu: lambda r, x: r.rectified(x),
    torch.relu_: lambda r, x: r.rectified(x),
    F.leaky_relu: lambda r, x, negative_slope=0.01, inplace=False: r.rectified(x, negative_slope),
    F.leaky_relu_: lambda r, x, negative_slope=0.01: r.rectified(x, negative_slope),
    F.relu6: lambda r, x, inplace=False: r.clamped(x, 0.0, 6.0),
    F.hardtanh: lambda r, x, min_val=-1.0, max_val=1.0, inplace=False: r.clamped(x, min_val, max_val),
    F.hardtanh_: lambda r, x, min_val=-1.0, max_val=1.0: r.clamped(x, min_val, max_val),
    torch.clamp: lambda r, x, min=None, max=None: r.clamped(x, min, max),
    torch.clamp_: lambda r, x, min=None, max=None: r.clamped(x, min, max),
    torch.maximum: _maximum,
    torch.minimum: _minimum,
    F.max_pool2d: max_pooled,
    F.adaptive_max_pool2d: adaptive_max_pooled,
    F.avg_pool2d: average_pooled,
    F.adaptive_avg_pool2d: adaptive_average_pooled,
    F.dropout: _dropped,
    F.dropout2d: _dropped,
    F.pad: padded,
    torch.flatten: lambda r, x, start_dim=0, end_dim=-1: r.flattened(x, start_dim, end_dim),
    torch.reshape: lambda r, x, *shape: r.reshaped(x, shape),
    torch.mean: _mean,
    torch.sum: _sum,
    torch.cat: joined,
    torch.add: _add,
    torch.sub: _subtract,
    torch.mul: _multiply,
    torch.div: _divide,
    torch.permute: permuted,
    torch.transpose: transposed,
    torch.squeeze: squeezed,
    torch.unsqueeze: unsqueezed,
    torch.neg: lambda r, x: r.scaled(x, -1.0, 0.0),
    torch.neg_: lambda r, x: r.scaled(x, -1.0, 0.0),
    torch.detach: same,
    torch.clone: _cloned,
    operator.add: _add,
    operator.iadd: _add,
    operator.sub: _subtract,
    operator.isub: _subtract,
    operator.mul: _multiply,
    operator.imul: _multiply,
    operator.truediv: _divide,
    operator.itruediv: _divide,
    operator.neg: lambda r, x: r.scaled(x, -1.0, 0.0),
    operator.getitem: indexed,
    getattr: attribute,
}
"""The reading of each function; its first argument is the reader."""

METHODS: dict[str, Callable[..., Any]] = {
    "relu": lambda r, x: r.rectified(x),
    "relu_": lambda r, x: r.rectified(x),
    "clamp": FUNCTIONS[torch.clamp],
    "clamp_": FUNCTIONS[torch.clamp],
    "clamp_min": lambda r, x, min: r.clamped(x, min, None),
    "clamp_min_": lambda r, x, min: r.clamped(x, min, None),
    "clamp_max": lambda r, x, max: r.clamped(x, None, max),
    "clamp_max_": lambda r, x, max: r.clamped(x, None, max),
    "maximum": _maximum,
    "minimum": _minimum,
    "flatten": FUNCTIONS[torch.flatten],
    "view": lambda r, x, *shape: r.reshaped(x, shape),
    "reshape": lambda r, x, *shape: r.reshaped(x, shape),
    "mean": _mean,
    "sum": _sum,
    "add": _add,
    "add_": _add,
    "sub": _subtract,
    "sub_": _subtract,
    "mul": _multiply,
    "mul_": _multiply,
    "div": _divide,
    "div_": _divide,
    "neg": FUNCTIONS[torch.neg],
    "neg_": FUNCTIONS[torch.neg],
    "detach": same,
    "permute": permuted,
    "transpose": transposed,
    "squeeze": squeezed,
    "unsqueeze": unsqueezed,
    "size": size,
    "contiguous": same,
    "clone": _cloned,
    "float": same,
}
"""The reading of each method of a tensor."""
