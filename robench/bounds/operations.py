"""The affine operations of a network: their values, their spread, and functions carried back through them.

Each is y = W x + b. `value` is W x + b, `spread` is |W| r for a radius r >= 0, `back` takes a function a.y to
(a W).x and its constant a.b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.bounds.rows import Rows

Shape = tuple[int, ...]
_Self = TypeVar("_Self")


class Affine(Protocol):
    """The contract of an affine operation of one or more inputs."""

    def value(self, *inputs: Tensor) -> Tensor:
        """Return W x + b, (B, ...)."""
        ...

    def spread(self, *radii: Tensor) -> Tensor:
        """Return |W| r, (B, ...)."""
        ...

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], Tensor | None]:
        """Return a W for each input of these shapes, and a.b (N,) or None where b is zero."""
        ...

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """Return how many products any sum in these holds at most."""
        ...

    def constant(self) -> float:
        """Return the largest |b|."""
        ...

    def to(self: _Self, dtype: torch.dtype) -> _Self:
        """Return the same operation in another type."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A fully connected layer on the last axis of (B, D), or of (B, ..., D).

    Attributes:
        weight: (out, in).
        bias: (out,).
    """

    weight: Tensor
    bias: Tensor

    def value(self, *inputs: Tensor) -> Tensor:
        """See `Affine`."""
        return F.linear(inputs[0], self.weight, self.bias)

    def spread(self, *radii: Tensor) -> Tensor:
        """See `Affine`."""
        return F.linear(radii[0], self.weight.abs())

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], Tensor | None]:
        """See `Affine`."""
        rows = rows.dense(out)
        offset = (rows.a @ self.bias).view(len(rows), -1).sum(dim=1)
        return [rows.having(rows.a @ self.weight)], offset

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return max(self.weight.shape) + _numel(out)

    def constant(self) -> float:
        """See `Affine`."""
        return float(self.bias.abs().max())

    def to(self, dtype: torch.dtype) -> Dense:
        """See `Affine`."""
        return Dense(self.weight.to(dtype), self.bias.to(dtype))


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

    def value(self, *inputs: Tensor) -> Tensor:
        """See `Affine`."""
        return self._convolved(inputs[0], self.weight, self.bias)

    def spread(self, *radii: Tensor) -> Tensor:
        """See `Affine`."""
        return self._convolved(radii[0], self.weight.abs(), None)

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], Tensor | None]:
        """See `Affine`; windows stay windows until they are as large as the layer."""
        (shape,) = shapes
        offset = rows.a.flatten(2).sum(dim=2) @ self.bias
        grown = [(rows.a.shape[2 + i] - 1) * self.stride[i] + self._reach(i) for i in (0, 1)]
        if rows.corner is not None and grown[0] * grown[1] < 0.6 * shape[1] * shape[2]:
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
        if a.shape[2] > 4:  # several times as fast so, on processors
            a = a.contiguous(memory_format=torch.channels_last)
        return F.conv_transpose2d(
            a, self.weight, None, self.stride, padding, extra, self.groups, self.dilation
        ).contiguous()

    def phases(self) -> Tensor:
        """Return the kernel of a convolution of stride 1 whose channels are the transposed one's phases."""
        s, (out, inner, *kernel) = self.stride, self.weight.shape
        taps = [-(-k // n) for k, n in zip(kernel, s, strict=True)]
        whole = F.pad(self.weight, (0, taps[1] * s[1] - kernel[1], 0, taps[0] * s[0] - kernel[0]))
        split = whole.view(out, inner, taps[0], s[0], taps[1], s[1]).flip(2, 4)
        return split.permute(1, 3, 5, 0, 2, 4).reshape(inner * s[0] * s[1], out, *taps).contiguous()

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return max(self.weight[0].numel(), self.weight[:, 0].numel()) + _numel(out)

    def constant(self) -> float:
        """See `Affine`."""
        return float(self.bias.abs().max())

    def to(self, dtype: torch.dtype) -> Convolution:
        """See `Affine`."""
        return replace(self, weight=self.weight.to(dtype), bias=self.bias.to(dtype))


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Every value times a factor plus a shift: normalisation, batch norm in evaluation, constants.

    Attributes:
        factor: of the shape of the values, or one that broadcasts to it.
        shift: the same.
    """

    factor: Tensor
    shift: Tensor

    def value(self, *inputs: Tensor) -> Tensor:
        """See `Affine`."""
        return inputs[0] * self.factor + self.shift

    def spread(self, *radii: Tensor) -> Tensor:
        """See `Affine`."""
        return radii[0] * self.factor.abs()

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], Tensor | None]:
        """See `Affine`; windows are zero outside of the layer, so a shift there counts for nothing."""
        uniform = self.factor.ndim <= 3 and all(n == 1 for n in self.factor.shape[1:])
        if rows.corner is not None and uniform and all(n == 1 for n in self.shift.shape[1:]):
            factor, shift = self.factor, self.shift  # per channel: the same in every window
        else:
            rows = rows if rows.corner is None else rows.dense(out)
            factor, shift = self.factor, self.shift
        offset = (rows.a * shift).flatten(1).sum(dim=1)
        return [rows.having(rows.a * factor)], offset

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return _numel(out) + 2

    def constant(self) -> float:
        """See `Affine`."""
        return float(self.shift.abs().max())

    def to(self, dtype: torch.dtype) -> Scale:
        """See `Affine`."""
        return Scale(self.factor.to(dtype), self.shift.to(dtype))


@dataclass(frozen=True, slots=True, eq=False)
class Gathering:
    """A linear operation with weights of at least zero: reshaping, selecting, padding with zeros, averaging.

    Attributes:
        apply: the operation on a batch (B, ...).
        fan: how many products a sum holds at most, there or back.
    """

    apply: Callable[[Tensor], Tensor] = field(repr=False)
    fan: int = 1

    def value(self, *inputs: Tensor) -> Tensor:
        """See `Affine`."""
        return self.apply(inputs[0])

    def spread(self, *radii: Tensor) -> Tensor:
        """See `Affine`."""
        return self.apply(radii[0])

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], Tensor | None]:
        """See `Affine`: the transpose is what differentiation does."""
        rows = rows.dense(out)
        with torch.enable_grad():
            place = rows.a.new_zeros(len(rows), *shapes[0]).requires_grad_(True)
            value = self.apply(place)
            (a,) = torch.autograd.grad(value, place, rows.a, create_graph=rows.a.requires_grad)
        return [rows.having(a)], None

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return self.fan + _numel(out)

    def constant(self) -> float:
        """See `Affine`."""
        return 0.0

    def to(self, dtype: torch.dtype) -> Gathering:
        """See `Affine`."""
        del dtype
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Some of the values along one axis of (B, C, H, W), in any order and as often as wanted.

    Attributes:
        axis: of the batch: 2 for rows, 3 for columns.
        index: (n,) which.
    """

    axis: int
    index: Tensor

    def value(self, *inputs: Tensor) -> Tensor:
        """See `Affine`."""
        return inputs[0].index_select(self.axis, self.index)

    def spread(self, *radii: Tensor) -> Tensor:
        """See `Affine`."""
        return self.value(*radii)

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], Tensor | None]:
        """See `Affine`; a window one value wide along the axis moves to where that value was."""
        if rows.corner is not None and rows.a.shape[self.axis] == 1:
            place = rows.corner[:, self.axis - 2].clamp(0, len(self.index) - 1)  # outside of it all is zero
            corner = rows.corner.clone()
            corner[:, self.axis - 2] = self.index[place]
            return [rows.at(corner)], None
        rows = rows.dense(out)
        whole = rows.a.new_zeros(len(rows), *shapes[0])
        return [rows.having(whole.index_add(self.axis, self.index, rows.a))], None

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return _numel(out)

    def constant(self) -> float:
        """See `Affine`."""
        return 0.0

    def to(self, dtype: torch.dtype) -> Selection:
        """See `Affine`."""
        del dtype
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """A sum of inputs of one shape, each with its sign: residual connections.

    Attributes:
        signs: 1 or -1 for each input.
    """

    signs: tuple[float, ...]

    def value(self, *inputs: Tensor) -> Tensor:
        """See `Affine`."""
        total = inputs[0] * self.signs[0]
        for sign, x in zip(self.signs[1:], inputs[1:], strict=True):
            total = total + sign * x
        return total

    def spread(self, *radii: Tensor) -> Tensor:
        """See `Affine`."""
        return torch.stack(radii).sum(dim=0)

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], Tensor | None]:
        """See `Affine`."""
        return [rows if sign == 1 else rows.having(sign * rows.a) for sign in self.signs], None

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return len(self.signs) + 1

    def constant(self) -> float:
        """See `Affine`."""
        return 0.0

    def to(self, dtype: torch.dtype) -> Sum:
        """See `Affine`."""
        del dtype
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Inputs side by side along one axis.

    Attributes:
        axis: of the batch (B, ...), at least 1.
    """

    axis: int

    def value(self, *inputs: Tensor) -> Tensor:
        """See `Affine`."""
        return torch.cat(inputs, dim=self.axis)

    def spread(self, *radii: Tensor) -> Tensor:
        """See `Affine`."""
        return torch.cat(radii, dim=self.axis)

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], Tensor | None]:
        """See `Affine`."""
        rows = rows.dense(out)
        parts = torch.split(rows.a, [shape[self.axis - 1] for shape in shapes], dim=self.axis)
        return [rows.having(part) for part in parts], None

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return 1

    def constant(self) -> float:
        """See `Affine`."""
        return 0.0

    def to(self, dtype: torch.dtype) -> Joined:
        """See `Affine`."""
        del dtype
        return self


def _numel(shape: Shape) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


class Transposed(torch.autograd.Function):
    """A strided transposed convolution as one of stride 1, whose channels are then put side by side.

    Processors compute it several times as fast, and its derivative is the convolution itself.
    """

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, layer: Convolution, padding: tuple[int, int], extra: tuple[int, int]
    ) -> Tensor:
        """Return what `conv_transpose2d` does."""
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
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the derivative: the convolution."""
        layer = ctx.layer
        back = F.conv2d(given, layer.weight, None, layer.stride, ctx.padding)
        return back[:, :, : ctx.size[2], : ctx.size[3]], None, None, None
