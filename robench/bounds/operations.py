"""The affine operations of a network: their values, their spread, and functions carried back through them.

Each is y = W x + b. `value` is W x + b, `spread` is |W| r for a radius r >= 0, `back` takes a function a.y to
(a W).x and its constant a.b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.bounds.rows import Rows
from robench.types import PerRow, Values

Shape = tuple[int, ...]
_Self = TypeVar("_Self")


class Affine(Protocol):
    """The contract of an affine operation of one or more inputs."""

    def value(self, *inputs: Values) -> Values:
        """Return W x + b, (B, ...)."""
        ...

    def spread(self, *radii: Values) -> Values:
        """Return |W| r, (B, ...)."""
        ...

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], PerRow | None]:
        """Return a W for each input of these shapes, and a.b (N,) or None if b is zero."""
        ...

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """Return the largest number of products in any of these sums."""
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

    def value(self, *inputs: Values) -> Values:
        """See `Affine`."""
        return F.linear(inputs[0], self.weight, self.bias)

    def spread(self, *radii: Values) -> Values:
        """See `Affine`."""
        return F.linear(radii[0], self.weight.abs())

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], PerRow | None]:
        """See `Affine`."""
        rows = rows.dense(out)
        offset = (rows.a @ self.bias).view(len(rows), -1).sum(dim=1)
        return [rows.having(rows.a @ self.weight)], offset

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return max(self.weight.shape) + math.prod(out)

    def constant(self) -> float:
        """See `Affine`."""
        return float(self.bias.abs().max())

    def to(self, dtype: torch.dtype) -> Dense:
        """See `Affine`."""
        return Dense(self.weight.to(dtype), self.bias.to(dtype))


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Every value times a factor plus a shift: normalisation, batch norm in evaluation, constants.

    Attributes:
        factor: has the shape of the values, or one that broadcasts to it.
        shift: the same.
    """

    factor: Tensor
    shift: Tensor

    def value(self, *inputs: Values) -> Values:
        """See `Affine`."""
        return inputs[0] * self.factor + self.shift

    def spread(self, *radii: Values) -> Values:
        """See `Affine`."""
        return radii[0] * self.factor.abs()

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], PerRow | None]:
        """See `Affine`; windows are zero outside the layer, so a shift there has no effect."""
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
        return math.prod(out) + 2

    def constant(self) -> float:
        """See `Affine`."""
        return float(self.shift.abs().max())

    def to(self, dtype: torch.dtype) -> Scale:
        """See `Affine`."""
        return Scale(self.factor.to(dtype), self.shift.to(dtype))


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """A sum of inputs of one shape, each with its sign: residual connections.

    Attributes:
        signs: 1 or -1 for each input.
    """

    signs: tuple[float, ...]

    def value(self, *inputs: Values) -> Values:
        """See `Affine`."""
        total = inputs[0] * self.signs[0]
        for sign, x in zip(self.signs[1:], inputs[1:], strict=True):
            total = total + sign * x
        return total

    def spread(self, *radii: Values) -> Values:
        """See `Affine`."""
        return torch.stack(radii).sum(dim=0)

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], PerRow | None]:
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
