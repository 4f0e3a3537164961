"""Two-dimensional convolutions: windows stay windows, and strided transposed ones are computed fast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robench.bounds.operations import Shape
from robench.bounds.rows import Rows
from robench.types import PerRow, Values


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A two-dimensional convolution with zero padding.

    Attributes:
        weight: (out, in / groups, h, w).
        bias: (out,).
        stride, padding, dilation: for both axes.
        groups: of channels.
    """

    weight: Tensor
    bias: Tensor
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def value(self, *inputs: Values) -> Values:
        """See `Affine`."""
        return self._convolved(inputs[0], self.weight, self.bias)

    def spread(self, *radii: Values) -> Values:
        """See `Affine`."""
        return self._convolved(radii[0], self.weight.abs(), None)

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], PerRow | None]:
        """See `Affine`; windows stay windows until they are as large as the layer."""
        (shape,) = shapes
        offset = rows.a.flatten(2).sum(dim=2) @ self.bias
        extents = [(rows.a.shape[2 + i] - 1) * self.stride[i] + self._reach(i) for i in (0, 1)]
        if rows.corner is not None and extents[0] * extents[1] < 0.6 * shape[1] * shape[2]:
            a = self._transposed(rows.a, (0, 0), (0, 0))
            corner = rows.corner * rows.corner.new_tensor(self.stride) - rows.corner.new_tensor(self.padding)
            return [rows.having(a).at(corner).masked(shape)], offset
        rows = rows.dense(out)
        natural = [(out[1 + i] - 1) * self.stride[i] - 2 * self.padding[i] + self._reach(i) for i in (0, 1)]
        extra = (shape[1] - natural[0], shape[2] - natural[1])
        return [rows.having(self._transposed(rows.a, self.padding, extra))], offset

    def _reach(self, axis: int) -> int:
        return (self.weight.shape[2 + axis] - 1) * self.dilation[axis] + 1

    def _transposed(self, a: Tensor, padding: tuple[int, int], extra: tuple[int, int]) -> Tensor:
        plain = self.groups == 1 and self.dilation == (1, 1)
        if a.shape[2:] == (1, 1) and plain and padding == (0, 0):
            # One position: the window is the kernel itself, weighted.
            return (a.flatten(1) @ self.weight.flatten(1)).view(len(a), *self.weight.shape[1:])
        if plain and a.dtype == torch.float32 and self.stride != (1, 1):
            out: Tensor = Transposed.apply(a, self, padding, extra)
            return out
        if a.shape[2] > 4:  # several times faster on CPUs
            a = a.contiguous(memory_format=torch.channels_last)
        return F.conv_transpose2d(
            a, self.weight, None, self.stride, padding, extra, self.groups, self.dilation
        ).contiguous()

    def phases(self) -> Float[Tensor, "phases out h w"]:
        """Return the kernel of a convolution of stride 1 that computes the transposed one in phases.

        Each of the s_h * s_w offsets inside a stride is a phase, and has `in` channels of its own:
        (in * s_h * s_w, out, ceil(h / s_h), ceil(w / s_w)).
        """
        s, (out, inner, *kernel) = self.stride, self.weight.shape
        taps = [-(-k // n) for k, n in zip(kernel, s, strict=True)]
        whole = F.pad(self.weight, (0, taps[1] * s[1] - kernel[1], 0, taps[0] * s[0] - kernel[0]))
        split = whole.view(out, inner, taps[0], s[0], taps[1], s[1]).flip(2, 4)
        return split.permute(1, 3, 5, 0, 2, 4).reshape(inner * s[0] * s[1], out, *taps).contiguous()

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return max(self.weight[0].numel(), self.weight[:, 0].numel()) + math.prod(out)

    def constant(self) -> float:
        """See `Affine`."""
        return float(self.bias.abs().max())

    def to(self, dtype: torch.dtype) -> Convolution:
        """See `Affine`."""
        return replace(self, weight=self.weight.to(dtype), bias=self.bias.to(dtype))


class Transposed(torch.autograd.Function):
    """A strided transposed convolution as one of stride 1, whose channels are then put side by side.

    CPUs compute it several times faster, and its derivative is the convolution itself.
    """

    @staticmethod
    def forward(
        ctx: Any,
        a: Float[Tensor, "N out H W"],
        layer: Convolution,
        padding: tuple[int, int],
        extra: tuple[int, int],
    ) -> Float[Tensor, "N in tall wide"]:
        """Return the result of `conv_transpose2d`, (N, in, H', W').

        Args:
            ctx: stores the values for the derivative.
            a: rows (N, out, H, W) over the convolution's results.
            layer: the convolution.
            padding: padding of the transposed convolution, for both axes.
            extra: rows and columns that are added below and to the right, for both axes.
        """
        ctx.layer, ctx.padding, ctx.size = layer, padding, a.shape
        s, kernel = layer.stride, layer.weight.shape[2:]
        inner = layer.weight.shape[1]
        phases = layer.phases()
        parts = F.conv2d(a, phases, padding=(phases.shape[2] - 1, phases.shape[3] - 1))
        count, _, tall, wide = parts.shape
        parts = parts.view(count, inner, s[0], s[1], tall, wide)
        whole = parts.permute(0, 1, 4, 2, 5, 3).reshape(count, inner, tall * s[0], wide * s[1])
        size = [(a.shape[2 + i] - 1) * s[i] + kernel[i] - 2 * padding[i] + extra[i] for i in (0, 1)]
        short = [padding[i] + size[i] - whole.shape[2 + i] for i in (0, 1)]
        if max(short) > 0:
            whole = F.pad(whole, (0, max(short[1], 0), 0, max(short[0], 0)))
        return whole[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]].contiguous()

    @staticmethod
    def backward(
        ctx: Any, given: Float[Tensor, "N in tall wide"]
    ) -> tuple[Float[Tensor, "N out H W"], None, None, None]:
        """Return the derivative for `a`, (N, out, H, W), from `given` (N, in, H', W'): the convolution."""
        layer = ctx.layer
        back = F.conv2d(given, layer.weight, None, layer.stride, ctx.padding)
        return back[:, :, : ctx.size[2], : ctx.size[3]], None, None, None
