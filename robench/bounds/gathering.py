"""Linear operations without weights of their own: values are moved, selected, averaged, put side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robench.bounds.operations import Shape
from robench.bounds.rows import Rows
from robench.types import PerRow, Values


@dataclass(frozen=True, slots=True, eq=False)
class Gathering:
    """A linear operation with weights of at least zero: reshaping, selecting, padding with zeros, averaging.

    Attributes:
        apply: the operation on a batch (B, ...).
        fan: most products in a sum, forward or back.
    """

    apply: Callable[[Tensor], Tensor] = field(repr=False)
    fan: int = 1

    def value(self, *inputs: Values) -> Values:
        """See `Affine`."""
        return self.apply(inputs[0])

    def spread(self, *radii: Values) -> Values:
        """See `Affine`."""
        return self.apply(radii[0])

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], PerRow | None]:
        """See `Affine`: differentiation computes the transpose."""
        rows = rows.dense(out)
        with torch.enable_grad():
            place = rows.a.new_zeros(len(rows), *shapes[0]).requires_grad_(True)
            value = self.apply(place)
            (a,) = torch.autograd.grad(value, place, rows.a, create_graph=rows.a.requires_grad)
        return [rows.having(a)], None

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return self.fan + math.prod(out)

    def constant(self) -> float:
        """See `Affine`."""
        return 0.0

    def to(self, dtype: torch.dtype) -> Gathering:
        """See `Affine`."""
        del dtype
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Some of the values along one axis of (B, C, H, W), in any order and with repetitions.

    Attributes:
        axis: axis of the batch: 2 for rows, 3 for columns.
        index: (n,) positions of the values.
    """

    axis: int
    index: Tensor

    def value(self, *inputs: Values) -> Values:
        """See `Affine`."""
        return inputs[0].index_select(self.axis, self.index)

    def spread(self, *radii: Values) -> Values:
        """See `Affine`."""
        return self.value(*radii)

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], PerRow | None]:
        """See `Affine`; a window one value wide along the axis moves to the source of that value."""
        if rows.corner is not None and rows.a.shape[self.axis] == 1:
            place = rows.corner[:, self.axis - 2].clamp(0, len(self.index) - 1)  # all values outside are zero
            corner = rows.corner.clone()
            corner[:, self.axis - 2] = self.index[place]
            return [rows.at(corner)], None
        rows = rows.dense(out)
        whole = rows.a.new_zeros(len(rows), *shapes[0])
        return [rows.having(whole.index_add(self.axis, self.index, rows.a))], None

    def terms(self, shapes: Sequence[Shape], out: Shape) -> int:
        """See `Affine`."""
        return math.prod(out)

    def constant(self) -> float:
        """See `Affine`."""
        return 0.0

    def to(self, dtype: torch.dtype) -> Selection:
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

    def value(self, *inputs: Values) -> Values:
        """See `Affine`."""
        return torch.cat(inputs, dim=self.axis)

    def spread(self, *radii: Values) -> Values:
        """See `Affine`."""
        return torch.cat(radii, dim=self.axis)

    def back(self, rows: Rows, shapes: Sequence[Shape], out: Shape) -> tuple[list[Rows], PerRow | None]:
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
