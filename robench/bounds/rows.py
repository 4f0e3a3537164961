"""Many linear functions of a layer's values: each belongs to an image, some depend only on a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.types import Coefficients, Corners, PerRow, Values


@dataclass(frozen=True, slots=True)
class Rows:
    """Coefficients of N linear functions of the values (C, H, W) or (D,) of one node.

    Attributes:
        a: (N, ...) coefficients; of the whole node, or (N, C, h, w) of a window of it. Outside of the node
            they are zero.
        owner: (N,) the image of the batch to which each function belongs; None for one function per image.
        corner: (N, 2) row and column of each window's first entry, which may be negative; None without.
    """

    a: Tensor
    owner: Tensor | None
    corner: Tensor | None = None

    def __len__(self) -> int:
        return len(self.a)

    def having(self, a: Coefficients) -> Rows:
        """Return the same with other coefficients."""
        return replace(self, a=a)

    def mass(self) -> PerRow:
        """Return the sum of absolute coefficients of each function, (N,)."""
        mass: Tensor = torch.linalg.vector_norm(self.a.detach().flatten(1), ord=1, dim=1)
        return mass

    def dot(self, values: Coefficients) -> PerRow:
        """Return each function of values in the same place, (N, ...) as the coefficients, (N,)."""
        return (self.a * values).flatten(1).sum(dim=1)

    def take(self, values: Values) -> Coefficients:
        """Return each function's share of values (B, ...) of the node, shaped as the coefficients.

        Windows reach outside of the node, where zeros are put.
        """
        if self.corner is None:
            return self.share(values)
        height, width = self.a.shape[-2:]
        view, corner = _windows(values, self.corner, height, width)
        owner = torch.arange(len(self.a), device=corner.device) if self.owner is None else self.owner
        return view[owner, corner[:, 0], corner[:, 1]]

    def share(self, values: Values) -> Coefficients:
        """Return the values of each function's image, (N, ...) from (B, ...)."""
        if len(values) == 1:
            return values.expand(len(self.a), *values.shape[1:])
        return values if self.owner is None else values[self.owner]

    def dense(self, shape: Sequence[int]) -> Rows:
        """Return the same functions with the coefficients of the whole node of that shape."""
        if self.corner is None:
            return self
        height, width = self.a.shape[-2:]
        top, left, bottom, right = _overhang(self.corner, height, width, shape)
        whole = self.a.new_zeros(len(self.a), top + shape[1] + bottom, left + shape[2] + right, shape[0])
        rows = self.corner[:, 0, None] + torch.arange(height, device=self.a.device) + top
        columns = self.corner[:, 1, None] + torch.arange(width, device=self.a.device) + left
        number = torch.arange(len(self.a), device=self.a.device)[:, None, None]
        place = (number, rows[:, :, None], columns[:, None, :])
        whole = whole.index_put(place, self.a.permute(0, 2, 3, 1))
        inner = whole[:, top : top + shape[1], left : left + shape[2]]
        return Rows(inner.permute(0, 3, 1, 2).contiguous(), self.owner)

    def masked(self, shape: Sequence[int]) -> Rows:
        """Return the same functions with zeros outside of the node of that shape."""
        if self.corner is None:
            return self
        inside = []
        for axis in (0, 1):
            place = self.corner[:, axis, None] + torch.arange(self.a.shape[2 + axis], device=self.a.device)
            inside.append(((place >= 0) & (place < shape[1 + axis])).to(self.a.dtype))
        return self.having(self.a * inside[0][:, None, :, None] * inside[1][:, None, None, :])

    def plus(self, other: Rows, shape: Sequence[int]) -> Rows:
        """Return the sum of two sets of functions of the same node and the same images."""
        if self.corner is None or other.corner is None:
            return self.having(self.dense(shape).a + other.dense(shape).a).at(None)
        shift = other.corner - self.corner
        if not len(shift) or not bool((shift == shift[:1]).all()):
            return self.dense(shape).plus(other.dense(shape), shape)
        # The same distance everywhere: both fit into one window.
        move = shift[0].tolist()
        first = [min(0, n) for n in move]
        size = [max(self.a.shape[2 + i], move[i] + other.a.shape[2 + i]) - first[i] for i in (0, 1)]
        if size[0] * size[1] > 0.6 * shape[1] * shape[2]:
            return self.dense(shape).plus(other.dense(shape), shape)
        one = _placed(self.a, -first[0], -first[1], size)
        two = _placed(other.a, move[0] - first[0], move[1] - first[1], size)
        return Rows(one + two, self.owner, self.corner + self.corner.new_tensor(first))

    def at(self, corner: Corners | None) -> Rows:
        """Return the same coefficients with other windows."""
        return replace(self, corner=corner)


def _placed(a: Tensor, top: int, left: int, size: list[int]) -> Tensor:
    """Return windows (N, C, h, w) inside larger ones of zeros."""
    return F.pad(a, (left, size[1] - left - a.shape[3], top, size[0] - top - a.shape[2]))


def _overhang(corner: Tensor, height: int, width: int, shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Return how far windows extend beyond the node: above, left, below, right."""
    if len(corner) == 0:
        return 0, 0, 0, 0
    low, high = corner.amin(dim=0).tolist(), corner.amax(dim=0).tolist()
    below, beside = high[0] + height - shape[1], high[1] + width - shape[2]
    return max(0, -low[0]), max(0, -low[1]), max(0, below), max(0, beside)


def _windows(values: Tensor, corner: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return a view (B, rows, columns, C, h, w) of all windows of values, and which ones the corners mean."""
    top, left, bottom, right = _overhang(corner, height, width, values.shape[1:])
    canvas = F.pad(values, (left, right, top, bottom)).contiguous()
    batch, channels, tall, wide = canvas.shape
    s = canvas.stride()
    size = (batch, tall - height + 1, wide - width + 1, channels, height, width)
    view = canvas.as_strided(size, (s[0], s[2], s[3], s[1], s[2], s[3]))
    return view, corner + corner.new_tensor([top, left])
