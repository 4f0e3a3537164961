"""Pooling: averages as linear operations, maxima as maxima of two, one axis after the other."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from robench.bounds.gathering import Selection
from robench.bounds.reader import Reader
from robench.bounds.symbols import Ref, Unbounded, pair


def max_pooled(
    reader: Reader,
    x: Ref,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Ref:
    """Append a max pooling, one axis after the other, as maxima of two."""
    if return_indices:
        raise Unbounded("a max pooling that returns indices")
    shape = reader.shape_of(x)
    if len(shape) != 3:
        raise Unbounded("a max pooling of something that is no batch of images")
    kernel, padding, dilation = pair(kernel_size), pair(padding), pair(dilation)
    if min(padding) < 0 or any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise Unbounded(f"a max pooling with padding {padding}, which PyTorch does not allow")
    stride = kernel if stride is None or stride == [] else pair(stride)
    for axis in (0, 1):
        settings = (kernel[axis], stride[axis], padding[axis], dilation[axis], ceil_mode)
        x = _maximum(reader, x, axis + 2, pooling_windows(shape[1 + axis], *settings))
    return x


def adaptive_max_pooled(reader: Reader, x: Ref, output_size: Any, return_indices: bool = False) -> Ref:
    """Append a max pooling to a given size."""
    if return_indices:
        raise Unbounded("a max pooling that returns indices")
    shape = reader.shape_of(x)
    if len(shape) != 3:
        raise Unbounded("a max pooling of something that is no batch of images")
    for axis, size in enumerate(pair(output_size)):
        x = _maximum(reader, x, axis + 2, adaptive_windows(shape[1 + axis], size))
    return x


def average_pooled(
    reader: Reader,
    x: Ref,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Ref:
    """Append an average pooling; `divisor_override` replaces the window's size, and may be negative."""
    if len(reader.shape_of(x)) != 3:
        raise Unbounded("an average pooling of something that is no batch of images")
    size = None if divisor_override is None else abs(divisor_override)
    settings = (kernel_size, stride, padding, ceil_mode, count_include_pad, size)
    x = reader.gathered(x, lambda t: F.avg_pool2d(t, *settings), math.prod(pair(kernel_size)))
    negative = divisor_override is not None and divisor_override < 0
    return reader.scaled(x, -1.0, 0.0) if negative else x


def adaptive_average_pooled(reader: Reader, x: Ref, output_size: Any) -> Ref:
    """Append an average pooling to a given size."""
    shape = reader.shape_of(x)
    if len(shape) != 3:
        raise Unbounded("an average pooling of something that is no batch of images")
    return reader.gathered(x, lambda t: F.adaptive_avg_pool2d(t, output_size), math.prod(shape[1:]))


def _maximum(reader: Reader, x: Ref, axis: int, windows: list[list[int]]) -> Ref:
    """Append the maximum over windows along one axis of the batch."""
    longest = max(len(window) for window in windows)
    parts = []
    for turn in range(longest):
        # A shorter window is padded with its last index, which does not change the maximum.
        index = torch.tensor([window[min(turn, len(window) - 1)] for window in windows])
        parts.append(reader.add(Selection(axis, index), x))
    while len(parts) > 1:
        winners = [reader.larger(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = winners + parts[2 * len(winners) :]
    return parts[0]


def pooling_windows(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool
) -> list[list[int]]:
    """Return the indices that each window of a pooling covers along an axis of that size, as in PyTorch."""
    reach = dilation * (kernel - 1) + 1
    room = size + 2 * padding - reach
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1  # the last window starts inside the image or its left padding
    starts = [i * stride - padding for i in range(count)]
    windows = [[s + dilation * j for j in range(kernel) if 0 <= s + dilation * j < size] for s in starts]
    if not windows or not all(windows):
        raise Unbounded("a pooling with windows that contain no pixel of the image")
    return windows


def adaptive_windows(size: int, wanted: int | None) -> list[list[int]]:
    """Return the indices that each window of an adaptive pooling covers along an axis of that size."""
    count = size if wanted is None else wanted
    return [list(range(i * size // count, -(-(i + 1) * size // count))) for i in range(count)]
