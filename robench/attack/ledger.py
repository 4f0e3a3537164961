"""What an attack spent and met on each image of one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from robench.types import Mask

Rows = torch.Tensor | slice
"""Which images of a batch: their numbers (b,), or `slice(None)` for all, with which nothing is copied."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What an attack spent and met on each image of one batch; all columns are (B,).

    Attributes:
        forwards: forward passes.
        backwards: backward passes.
        points: how many points were tried, as far as the oracle was asked about them.
        tries: how many fresh starts were made on it, one included that was not announced; 0 if it was never
            asked about.
        first_success: how many points had been tried when the first admissible adversarial point was
            met (from 1), 0 if none was.
        first_passes: forwards plus backwards spent by then, the pass that showed it included; 0 if none was.
        first_try: the fresh start it was met in (from 1); 0 if none was.
        nonfinite: whether the model or its gradient stopped being a number.
        zero_gradient: how many gradients were exactly zero everywhere.
        gradients: how many gradients were asked for.
        rise: by how much the loss rose in the ascent that settled best, float64; see `LossProgress`.
        late_rise: the part of it that was gained over the last steps, float64.
        deceived: whether all that was differentiated was fooled, and the model itself was not.
        silent: whether an admissible adversarial point was met that a library did not return.
        claimed: whether what is proposed was met as an admissible adversarial point, so that the judge ought
            to find it broken.
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
        """Return the ledger of `count` images on which nothing was spent."""
        kinds = dict.fromkeys(("nonfinite", "deceived", "silent", "claimed"), torch.bool)
        kinds |= {"rise": torch.float64, "late_rise": torch.float64}
        return cls(
            **{
                column.name: torch.zeros(count, dtype=kinds.get(column.name, torch.int64), device=device)
                for column in fields(cls)
            }
        )

    def book(self, rows: Rows, *, forwards: int, backwards: int = 0) -> None:
        """Book passes on each image of these rows."""
        _add(self.forwards, rows, forwards)
        if backwards:
            _add(self.backwards, rows, backwards)

    def note_gradient(self, rows: Rows, *, finite: Mask, zero: Mask) -> None:
        """Note one gradient on each image of these rows: where (b,) it was finite, and where zero."""
        _add(self.gradients, rows, 1)
        self.nonfinite[rows] |= ~finite
        _add(self.zero_gradient, rows, zero)

    def note_points(self, rows: Rows, *, start: int, nonfinite: Mask, first: torch.Tensor) -> None:
        """Note one point on each image of these rows, after its passes are booked.

        Args:
            rows: of which images.
            start: of which fresh start.
            nonfinite: where (b,) the model's answer was NaN or infinite.
            first: numbers of the images of which this point is the first success.
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
