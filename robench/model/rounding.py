"""Whether two answers of a network differ by more than rounding, in what decides between classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LAST_DIGITS = 16
"""So many times the spacing of floating-point numbers at a score are rounding, however large the score is."""


def beyond_rounding(first: Tensor, second: Tensor, *, tolerance: float) -> Tensor:
    """Tell per image whether two answers (B, K) differ by more than rounding, (B,); masked classes are alike.

    Args:
        first: scores.
        second: those of another pass, or of a copy of the network.
        tolerance: how much of what sets the scores of an image apart counts as rounding.
    """
    apart = (first - second).abs().masked_fill(first == second, 0.0)
    digits = LAST_DIGITS * torch.finfo(first.dtype).eps * first.abs().masked_fill(~first.isfinite(), 0.0)
    return ~(apart <= tolerance * _spread(first) + digits).all(dim=1)


def _spread(outputs: Tensor) -> Tensor:
    """Return how far the scores that matter are apart: the upper half of a row's, twice, as a median.

    Neither a common part of all scores nor classes that are masked by a large number count.
    """
    ranking = outputs.masked_fill(~outputs.isfinite(), -math.inf).sort(dim=1, descending=True).values
    upper = ranking[:, : max(2, (outputs.shape[1] + 1) // 2)]
    lowest = torch.where(upper.isfinite(), upper, upper[:, :1]).amin(dim=1)
    spreads = (upper[:, 0] - lowest).nan_to_num(0.0)
    return 2 * spreads.median()
