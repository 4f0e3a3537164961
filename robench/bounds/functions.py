"""Functions and methods of torch as affine operations and rectifiers; what is neither is refused by name."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from robench.bounds.operations import Sum
from robench.bounds.pooling import adaptive_max_pooled, max_pooled
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
from robench.bounds.symbols import Ref, Unbounded, exact, pair


def _add(reader: Reader, one: Any, other: Any, sign: float = 1.0, *, alpha: float = 1) -> Any:
    if alpha != 1:
        raise Unbounded("an addition with alpha")
    if isinstance(one, Ref) and isinstance(other, Ref):
        if reader.shape_of(one) != reader.shape_of(other):
            got = f"{reader.shape_of(one)} and {reader.shape_of(other)}"
            raise Unbounded(f"a sum of values of different shapes, {got}")
        return reader.add(Sum((1.0, sign)), one, other)
    if isinstance(one, Ref):
        return reader.scaled(one, 1.0, sign * torch.as_tensor(other))
    return reader.scaled(other, sign, one)


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


def _max_pool_function(
    reader: Reader,
    x: Ref,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Ref:
    if return_indices:
        raise Unbounded("a max pooling that returns indices")
    return max_pooled(reader, x, kernel_size, stride, padding, dilation, ceil_mode)


def _avg_pool_function(
    reader: Reader,
    x: Ref,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Ref:
    settings = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return reader.gathered(x, lambda t: F.avg_pool2d(t, *settings), math.prod(pair(kernel_size)))


def _mean(reader: Reader, x: Ref, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Ref:
    del dtype
    return reader.averaged(x, dim, keepdim)


def _sum(reader: Reader, x: Ref, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Ref:
    del dtype
    return reader.averaged(x, dim, keepdim, mean=False)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.linear: lambda r, x, weight, bias=None: r.linear(x, weight, bias),
    F.conv2d: lambda r, x, *a, **k: r.convolution(x, *a, **k),
    F.batch_norm: _batch_normed,
    F.relu: lambda r, x, inplace=False: r.rectified(x),
    torch.relu: lambda r, x: r.rectified(x),
    F.leaky_relu: lambda r, x, negative_slope=0.01, inplace=False: r.rectified(x, negative_slope),
    F.relu6: lambda r, x, inplace=False: r.clamped(x, 0.0, 6.0),
    F.hardtanh: lambda r, x, min_val=-1.0, max_val=1.0, inplace=False: r.clamped(x, min_val, max_val),
    torch.clamp: lambda r, x, min=None, max=None: r.clamped(x, min, max),
    torch.maximum: lambda r, a, b: r.larger(a, b),
    F.max_pool2d: _max_pool_function,
    F.adaptive_max_pool2d: adaptive_max_pooled,
    F.avg_pool2d: _avg_pool_function,
    F.adaptive_avg_pool2d: lambda r, x, output_size: r.gathered(
        x, lambda t: F.adaptive_avg_pool2d(t, output_size), math.prod(r.shape_of(x)[1:])
    ),
    F.dropout: _dropped,
    F.dropout2d: _dropped,
    F.pad: padded,
    torch.flatten: lambda r, x, start_dim=0, end_dim=-1: r.flattened(x, start_dim, end_dim),
    torch.reshape: lambda r, x, *shape: r.reshaped(x, shape),
    torch.mean: _mean,
    torch.sum: _sum,
    torch.cat: joined,
    torch.add: _add,
    torch.sub: lambda r, a, b: _add(r, a, b, -1.0),
    torch.mul: _multiply,
    torch.div: _divide,
    torch.permute: permuted,
    torch.transpose: transposed,
    torch.squeeze: squeezed,
    torch.unsqueeze: unsqueezed,
    torch.neg: lambda r, x: r.scaled(x, -1.0, 0.0),
    operator.add: _add,
    operator.iadd: _add,
    operator.sub: lambda r, a, b: _add(r, a, b, -1.0),
    operator.isub: lambda r, a, b: _add(r, a, b, -1.0),
    operator.mul: _multiply,
    operator.imul: _multiply,
    operator.truediv: _divide,
    operator.itruediv: _divide,
    operator.neg: lambda r, x: r.scaled(x, -1.0, 0.0),
    operator.getitem: indexed,
    getattr: attribute,
}
"""What each function becomes; its first argument is the reader."""

METHODS: dict[str, Callable[..., Any]] = {
    "relu": lambda r, x: r.rectified(x),
    "relu_": lambda r, x: r.rectified(x),
    "clamp": FUNCTIONS[torch.clamp],
    "clamp_min": lambda r, x, low: r.clamped(x, low, None),
    "clamp_max": lambda r, x, high: r.clamped(x, None, high),
    "flatten": FUNCTIONS[torch.flatten],
    "view": lambda r, x, *shape: r.reshaped(x, shape),
    "reshape": lambda r, x, *shape: r.reshaped(x, shape),
    "mean": _mean,
    "sum": _sum,
    "add": _add,
    "add_": _add,
    "sub": FUNCTIONS[torch.sub],
    "sub_": FUNCTIONS[torch.sub],
    "mul": _multiply,
    "mul_": _multiply,
    "div": _divide,
    "div_": _divide,
    "neg": FUNCTIONS[torch.neg],
    "permute": permuted,
    "transpose": transposed,
    "squeeze": squeezed,
    "unsqueeze": unsqueezed,
    "size": size,
    "contiguous": same,
    "clone": lambda r, x, **kwargs: r.gathered(x, lambda t: t),
    "float": same,
}
"""What each method of a tensor becomes."""

IN_PLACE = {
    "relu_",
    "add_",
    "sub_",
    "mul_",
    "div_",
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
}
"""What also changes the tensor it is given."""
