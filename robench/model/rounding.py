"""Tells whether two outputs differ by more than rounding, in the scores that decide the class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robench.types import Mask, Outputs

LAST_DIGITS = 16
"""Differences up to so many times the spacing of floating-point numbers at a score count as rounding."""


def beyond_rounding(first: Outputs, second: Outputs, *, tolerance: float) -> Mask:
    """Tell per image whether two outputs (B, K) differ by more than rounding, (B,); masked classes are equal.

    Args:
        first: scores.
        second: scores of another pass, or of a copy of the network.
        tolerance: largest difference that counts as rounding, relative to the spread of an image's scores.
    """
    apart = (first - second).abs().masked_fill(first == second, 0.0)
    digits = LAST_DIGITS * torch.finfo(first.dtype).eps * first.abs().masked_fill(~first.isfinite(), 0.0)
    return ~(apart <= tolerance * _spread(first) + digits).all(dim=1)


def _spread(outputs: Tensor) -> Tensor:
    """Return the spread of the relevant scores: twice the spread of a row's upper half, as a median.

    A common offset of all scores, and classes masked by a large number, do not count.
    """
    ranking = outputs.masked_fill(~outputs.isfinite(), -math.inf).sort(dim=1, descending=True).values
    upper = ranking[:, : max(2, (outputs.shape[1] + 1) // 2)]
    lowest = torch.where(upper.isfinite(), upper, upper[:, :1]).amin(dim=1)
    spreads = (upper[:, 0] - lowest).nan_to_num(0.0)
    return 2 * spreads.median()
