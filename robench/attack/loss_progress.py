"""The progress of an attack: how its loss rose, and whether only its gradient source was fooled."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robench.attack.ledger import Rows
from robench.types import Mask, PerSample

WINDOW = 10
"""How many of the last steps are compared; for an ascent of less than four times as many, a quarter."""

ROUNDING = 1e-6
"""Least rise of a loss, relative to 1 + |loss|, that is significant."""


class LossProgress:
    """How the loss of one attack rose on one batch; all columns are (B,).

    Losses can only be compared while the attack raises the same loss, so an attack says where an ascent
    begins and ends (`Oracle.ascent`); restarts, stages and members of a cascade are separate ascents.

    Attributes:
        rise: by how much the loss rose, from the first point of the ascent to the best; float64. Of several
            ascents on one image the one that converged best counts; 0 if none is known or none rose.
        late_rise: the part of the rise that was gained over the last steps.

    Args:
        count: the number of images.
        device: where the columns are.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.rise = torch.zeros(count, dtype=torch.float64, device=device)
        self.late_rise = torch.zeros_like(self.rise)
        self._losses: list[PerSample] | None = None

    def begin(self) -> None:
        """Begin an ascent."""
        self._losses = []

    def follow(self, losses: PerSample) -> None:
        """Record the losses (B,) of one step, -inf where an image was not evaluated; not copied."""
        if self._losses is not None:
            self._losses.append(losses)

    def end(self) -> None:
        """End the ascent and keep, per image, the ascent that converged best."""
        losses, self._losses = self._losses, None
        if not losses or len(losses) < 2:
            return  # with a single gradient the loss at the next point is not known
        rise, late, start = rises(losses)
        is_real = rise > ROUNDING * (1 + start.abs())
        better = is_real & ((self.rise == 0) | (late * self.rise < self.late_rise * rise))
        self.rise = torch.where(better, rise, self.rise)
        self.late_rise = torch.where(better, late, self.late_rise)


class FooledSources:
    """Which gradient sources were fooled while the model behind them was not.

    Args:
        count: the number of images.
        device: where the columns are.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self._nowhere = torch.zeros(count, dtype=torch.bool, device=device)
        # By gradient source: where it was evaluated, and where it was fooled and the model was not.
        self._asked: dict[str, Mask] = {}
        self._fooled: dict[str, Mask] = {}

    def compare(self, source: str, rows: Rows, fooled: Mask | None) -> None:
        """Record the rows on which a source was evaluated, and where it alone was fooled (None: nowhere)."""
        if source not in self._asked:
            self._asked[source], self._fooled[source] = self._nowhere.clone(), self._nowhere.clone()
        self._asked[source][rows] = True
        if fooled is not None:
            self._fooled[source][rows] |= fooled

    @property
    def deceived(self) -> Mask:
        """Images (B,) on which every evaluated source, but not the model, was fooled at admissible points."""
        some, honest = self._nowhere.clone(), self._nowhere.clone()
        for source, mask in self._asked.items():
            some |= self._fooled[source]
            honest |= mask & ~self._fooled[source]
        return some & ~honest


def rises(losses: Sequence[PerSample]) -> tuple[PerSample, PerSample, PerSample]:
    """Return the rise of each image's loss, the part gained late, and where it began; (B,), float64.

    Incomplete optimisation of Pintor et al. 2022 (arXiv:2106.09947, I4) for a loss that is raised: with the
    best loss met so far in place of the loss, the late part is what it gained over the last `WINDOW` steps,
    or over the last quarter of the steps, rounded up, if that is less. The paper always uses the last ten
    steps; with that, an attack of twenty steps could hardly pass: it needs ten to reach the sphere.

    Args:
        losses: of each step, (B,); a value that is not finite is unknown. An image's ascent begins with its
            first known loss and ends with its last.
    """
    table = torch.stack(list(losses)).double()
    is_finite = torch.isfinite(table)
    step = torch.arange(len(table), device=table.device)[:, None].expand_as(table)
    last = step.where(is_finite, 0).amax(dim=0)
    first = step.where(is_finite, len(table) - 1).amin(dim=0).minimum(last)
    best = table.where(is_finite, -torch.inf).cummax(dim=0).values
    window = ((last - first + 3) // 4).clamp(max=WINDOW)
    start = table.gather(0, first[None])[0]
    end = best.gather(0, last[None])[0]
    before = best.gather(0, (last - window)[None])[0]
    missing = ~is_finite.any(dim=0)
    zero = torch.zeros_like(end)
    return (
        (end - start).where(~missing, zero),
        (end - before).where(~missing, zero),
        start.where(~missing, zero),
    )
