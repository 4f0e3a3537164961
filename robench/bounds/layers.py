"""Layers of torch as affine operations and rectifiers, as they are in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from robench.bounds.pooling import adaptive_average_pooled, adaptive_max_pooled, average_pooled, max_pooled
from robench.bounds.reader import Reader
from robench.bounds.symbols import Ref, Unbounded


def _batch_norm(reader: Reader, layer: Any, x: Ref) -> Ref:
    if layer.running_mean is None or layer.running_var is None:
        raise Unbounded("a batch norm without running statistics: it depends on the other images of a batch")
    return reader.normalised(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.eps)


def _conv(reader: Reader, layer: Any, x: Ref) -> Ref:
    if layer.padding_mode != "zeros":
        raise Unbounded(f"a convolution with padding {layer.padding_mode!r}: bounds know zero padding")
    return reader.convolution(
        x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups
    )


def _max_pool(reader: Reader, layer: Any, x: Ref) -> Ref:
    settings = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
    return max_pooled(reader, x, *settings, layer.return_indices)


def _avg_pool(reader: Reader, layer: Any, x: Ref) -> Ref:
    settings = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad)
    return average_pooled(reader, x, *settings, layer.divisor_override)


def _zero_pad(reader: Reader, layer: Any, x: Ref) -> Ref:
    if layer.value != 0:
        raise Unbounded(f"padding with {layer.value}: bounds know zeros")
    return reader.padded(x, layer.padding)


MODULES: dict[type, Callable[[Reader, Any, Ref], Ref]] = {
    nn.Linear: lambda r, m, x: r.linear(x, m.weight, m.bias),
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: lambda r, m, x: r.rectified(x),
    nn.LeakyReLU: lambda r, m, x: r.rectified(x, m.negative_slope),
    nn.ReLU6: lambda r, m, x: r.clamped(x, m.min_val, m.max_val),
    nn.Hardtanh: lambda r, m, x: r.clamped(x, m.min_val, m.max_val),
    nn.MaxPool2d: _max_pool,
    nn.AdaptiveMaxPool2d: lambda r, m, x: adaptive_max_pooled(r, x, m.output_size, m.return_indices),
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: lambda r, m, x: adaptive_average_pooled(r, x, m.output_size),
    nn.ZeroPad2d: _zero_pad,
    nn.Flatten: lambda r, m, x: r.flattened(x, m.start_dim, m.end_dim),
    nn.Unflatten: lambda r, m, x: _unflattened(r, x, m.dim, m.unflattened_size),
    nn.Identity: lambda r, m, x: x,
    nn.Dropout: lambda r, m, x: x,
    nn.Dropout1d: lambda r, m, x: x,
    nn.Dropout2d: lambda r, m, x: x,
    nn.AlphaDropout: lambda r, m, x: x,
}
"""The operation of each layer in evaluation mode."""


def _unflattened(reader: Reader, x: Ref, axis: int, sizes: Any) -> Ref:
    if axis % (len(reader.shape_of(x)) + 1) == 0:
        raise Unbounded("an unflatten of the batch")
    return reader.gathered(x, lambda t: torch.unflatten(t, axis, tuple(sizes)))
