"""ReLU and leaky ReLU between two lines, for known bounds of their inputs (Zhang et al. 2018).

On l < 0 < u the upper line is the chord; the lower line goes through the origin, with any slope between the
slopes of both branches, which alpha-CROWN optimises (Xu et al. 2021, arXiv:2011.13824, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.bounds.rounding import UNIT
from robench.bounds.rows import Rows
from robench.types import (
    Coefficients,
    LayerMask,
    LayerValues,
    PerRow,
    RowMask,
    RowNumbers,
    SameShape,
    SplitValues,
    Values,
)


@dataclass(frozen=True, slots=True, eq=False)
class Rectifier:
    """The operation max(x, slope * x).

    Attributes:
        slope: of the negative branch, between 0 and 1; 0 for ReLU.
    """

    slope: float = 0.0

    def value(self, x: SameShape) -> SameShape:
        """Return the values, element by element."""
        return F.leaky_relu(x, self.slope) if self.slope else F.relu(x)


class Passing(Protocol):
    """Propagates functions of a layer's rectified values to the values before rectification."""

    def through(self, rows: Rows, slopes: Coefficients | None) -> tuple[Rows, PerRow]:
        """Return functions of the inputs that are nowhere above these, and their constants (N,)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Lines below and above the rectifiers of a layer, for each of B images; all (B, ...).

    Attributes:
        least: smallest slope of the lower line; equal to `most` if the sign is fixed.
        most: its largest slope.
        usual: the default slope, CROWN's choice: that of the branch that covers more of the interval.
        upper: slope of the upper line.
        raised: its value at 0.
    """

    least: Tensor
    most: Tensor
    usual: Tensor
    upper: Tensor
    raised: Tensor

    @classmethod
    def between(cls, low: LayerValues, high: LayerValues, slope: float) -> Lines:
        """Return the lines for inputs between low and high (B, ...); the upper one never below."""
        on, off = low >= 0, high <= 0
        least = torch.where(on, 1.0, slope).to(low.dtype)
        most = torch.where(off, slope, 1.0).to(low.dtype)
        usual = torch.where(off | (~on & (high <= -low)), slope, 1.0).to(low.dtype)
        width = torch.where(on | off, 1.0, high - low)
        chord = (high - slope * low) / width
        # Any slope is valid if the line is above both ends: the line is raised until it is, with rounding.
        lift = torch.maximum(high - chord * high, slope * low - chord * low)
        lift = lift + 8 * UNIT * (high.abs() + low.abs()) if low.dtype == torch.float64 else lift
        upper = torch.where(on, 1.0, torch.where(off, slope, chord))
        offset = torch.where(on | off, 0.0, lift)
        return cls(least, most, usual, upper.to(low.dtype), offset.to(low.dtype))

    @property
    def loose(self) -> LayerMask:
        """Where the sign is not fixed, (B, ...)."""
        return self.most > self.least

    def of(self, index: RowNumbers | RowMask | slice) -> Lines:
        """Return the lines of some of the images."""
        return Lines(*(getattr(self, name)[index] for name in ("least", "most", "usual", "upper", "raised")))

    def to(self, dtype: torch.dtype) -> Lines:
        """Return the same lines in another type: for float32, only as good as its rounding."""
        names = ("least", "most", "usual", "upper", "raised")
        return replace(self, **{name: getattr(self, name).to(dtype) for name in names})

    def through(self, rows: Rows, slopes: Coefficients | None) -> tuple[Rows, PerRow]:
        """Return functions of the inputs that are nowhere above these, and their constants (N,).

        Args:
            rows: functions of the outputs.
            slopes: of the lower lines, in the shape of the coefficients, clamped; None for the default.
        """
        lower = rows.take(self.usual) if slopes is None else slopes
        if slopes is not None and not slopes.requires_grad:
            lower = torch.minimum(torch.maximum(slopes, rows.take(self.least)), rows.take(self.most))
        a, offset = Chosen.apply(rows.a, lower, rows.take(self.upper), rows.take(self.raised))
        return rows.having(a), offset


class Chosen(torch.autograd.Function):
    """Coefficients times the slope of the line that their sign selects, with the derivative."""

    @staticmethod
    def forward(
        ctx: Any, a: Coefficients, lower: Coefficients, upper: Coefficients, raised: Coefficients
    ) -> tuple[Coefficients, PerRow]:
        """Return the coefficients (N, ...) of the inputs and the constants (N,)."""
        slope = torch.where(a > 0, lower, upper)
        negative = a.clamp(max=0)
        ctx.save_for_backward(a, slope, raised)
        return a * slope, (negative * raised).flatten(1).sum(dim=1)

    @staticmethod
    def backward(
        ctx: Any, given: Coefficients, constant: PerRow
    ) -> tuple[Coefficients, Coefficients, None, None]:
        """Return the derivative with respect to the coefficients and the lower slopes."""
        a, slope, offset = ctx.saved_tensors
        back = given * slope
        back += torch.where(a > 0, 0.0, offset) * constant.view(-1, *[1] * (a.ndim - 1))
        return back, given * a.clamp(min=0), None, None


@dataclass(frozen=True, slots=True, eq=False)
class PackedLines:
    """Lines of one layer in N subdomains of one image's region, only for rectifiers without a fixed sign.

    Attributes:
        base: (1, ...) slope of every rectifier with a fixed sign, 0 elsewhere.
        place: (U,) indices of the others in the flattened layer.
        lower: (N, U) slopes of their lower lines.
        upper: (N, U) slopes of their upper lines.
        raised: (N, U) values of these at 0.
        pressure: (N, U) is added to the coefficients of the inputs.
    """

    base: Tensor
    place: Tensor
    lower: Tensor
    upper: Tensor
    raised: Tensor
    pressure: Tensor

    def through(self, rows: Rows, slopes: Coefficients | None) -> tuple[Rows, PerRow]:
        """See `Lines.through`; the functions are one for each subdomain, and the slopes those kept here."""
        assert rows.corner is None
        assert rows.owner is None
        assert slopes is None
        a, offset = _Packed.apply(
            rows.a, self.lower, self.pressure, self.base, self.place, self.upper, self.raised
        )
        return rows.having(a), offset


class _Packed(torch.autograd.Function):
    """Coefficients through packed lines, with the derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Coefficients,
        lower: SplitValues,
        pressure: SplitValues,
        base: Values,
        place: RowNumbers,
        upper: SplitValues,
        offset: SplitValues,
    ) -> tuple[Coefficients, PerRow]:
        """Return the coefficients (N, ...) of the inputs and the constants (N,)."""
        here = a.flatten(1).index_select(1, place)
        positive = here > 0
        slope = torch.where(positive, lower, upper)
        out = (a * base).contiguous()
        out.view(len(out), -1).index_copy_(1, place, torch.addcmul(pressure, here, slope))
        ctx.save_for_backward(here, slope, offset, base, place)
        return out, (here.clamp(max=0) * offset).sum(dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, constant: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivative with respect to the coefficients, the lower slopes and the pressure."""
        here, slope, offset, base, place = ctx.saved_tensors
        there = gradient.flatten(1).index_select(1, place)
        back = None
        if ctx.needs_input_grad[0]:
            inner = torch.where(here > 0, 0.0, offset).mul_(constant[:, None]).addcmul_(there, slope)
            back = (gradient * base).contiguous()
            back.view(len(back), -1).index_copy_(1, place, inner)
        return back, there * here.clamp(min=0), there, None, None, None, None
