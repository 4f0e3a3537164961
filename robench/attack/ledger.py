"""Costs and findings of an attack on each image of one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from robench.types import Mask, RowNumbers

Rows = torch.Tensor | slice
"""Images of a batch: their numbers (b,), or `ALL`, which avoids copies."""

ALL = slice(None)


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Costs and findings of an attack on each image of one batch; all columns are (B,).

    Attributes:
        forwards: forward passes.
        backwards: backward passes.
        points: number of evaluated points.
        tries: number of fresh starts, including the first, which need not be announced; 0 if the image was
            never evaluated.
        first_success: number of points until the first admissible adversarial point (from 1), 0 if there is
            none.
        first_passes: forwards plus backwards until then, including the pass that showed it; 0 if none.
        first_try: the fresh start of this point (from 1); 0 if there is none.
        nonfinite: whether an output or a gradient was NaN or infinite.
        zero_gradient: number of gradients that were exactly zero everywhere.
        gradients: number of gradients.
        rise: by how much the loss rose in the ascent that settled best, float64; see `loss_progress`.
        late_rise: the part of it in the last steps, float64.
        deceived: whether all gradient sources were fooled, but the model itself was not.
        silent: whether an admissible adversarial point was found that a library did not return.
        claimed: whether the proposal was found to be an admissible adversarial point, so that the judge
            should find it broken.
    """

    forwards: torch.Tensor
    backwards: torch.Tensor
    points: torch.Tensor
    tries: torch.Tensor
    first_success: torch.Tensor
    first_passes: torch.Tensor
    first_try: torch.Tensor
    nonfinite: torch.Tensor
    zero_gradient: torch.Tensor
    gradients: torch.Tensor
    rise: torch.Tensor
    late_rise: torch.Tensor
    deceived: torch.Tensor
    silent: torch.Tensor
    claimed: torch.Tensor

    @classmethod
    def empty(cls, count: int, device: torch.device | None = None) -> Ledger:
        """Return the empty ledger of `count` images."""
        kinds = dict.fromkeys(("nonfinite", "deceived", "silent", "claimed"), torch.bool)
        kinds |= {"rise": torch.float64, "late_rise": torch.float64}
        return cls(
            **{
                column.name: torch.zeros(count, dtype=kinds.get(column.name, torch.int64), device=device)
                for column in fields(cls)
            }
        )

    def book(self, rows: Rows, *, forwards: int, backwards: int = 0) -> None:
        """Count passes on each image of these rows."""
        _add(self.forwards, rows, forwards)
        if backwards:
            _add(self.backwards, rows, backwards)

    def note_gradient(self, rows: Rows, *, finite: Mask, zero: Mask) -> None:
        """Record one gradient for each image of these rows: where (b,) it was finite, and where zero."""
        _add(self.gradients, rows, 1)
        self.nonfinite[rows] |= ~finite
        _add(self.zero_gradient, rows, zero)

    def note_points(self, rows: Rows, *, start: int, nonfinite: Mask, first: RowNumbers) -> None:
        """Record one point for each image of these rows, after its passes were counted.

        Args:
            rows: the images.
            start: number of the fresh start.
            nonfinite: where (b,) the model's answer was NaN or infinite.
            first: numbers of the images with their first success at this point.
        """
        self.nonfinite[rows] |= nonfinite
        self.tries[rows] = start
        _add(self.points, rows, 1)
        if len(first):
            self.first_try[first] = start
            self.first_success[first] = self.points[first]
            self.first_passes[first] = self.forwards[first] + self.backwards[first]

    @classmethod
    def joined(cls, parts: Sequence[Ledger]) -> Ledger:
        """Return one ledger of the images of all parts, in order."""
        names = [column.name for column in fields(cls)]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def cpu(self) -> Ledger:
        """Return the same ledger in main memory."""
        return Ledger(**{column.name: getattr(self, column.name).cpu() for column in fields(self)})


def _add(column: torch.Tensor, rows: Rows, number: int | torch.Tensor) -> None:
    """Add a number to a column's rows, in one operation where these are all."""
    if isinstance(rows, slice):
        column += number
    else:
        column[rows] += number
