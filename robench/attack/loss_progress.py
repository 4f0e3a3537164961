"""How the loss of an attack rose over one ascent, and how much of that came late: has it converged?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robench.attack.ledger import Ledger
from robench.types import PerSample

WINDOW = 10
"""How many of the last steps are compared; for an ascent of less than four times as many, a quarter."""

ROUNDING = 1e-6
"""Least rise of a loss, relative to 1 + |loss|, that is significant."""


def note_ascent(ledger: Ledger, losses: Sequence[PerSample]) -> None:
    """Note in the ledger how the loss rose over one ascent; per image the ascent that converged best counts.

    Args:
        ledger: of the attack; its columns `rise` and `late_rise` may change.
        losses: of each step, (B,), -inf where an image was not evaluated.
    """
    if len(losses) < 2:
        return  # with a single gradient the loss at the next point is not known
    rise, late, start = rises(losses)
    is_real = rise > ROUNDING * (1 + start.abs())
    better = is_real & ((ledger.rise == 0) | (late * ledger.rise < ledger.late_rise * rise))
    ledger.rise = torch.where(better, rise, ledger.rise)
    ledger.late_rise = torch.where(better, late, ledger.late_rise)


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
