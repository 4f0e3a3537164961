"""Edge weights from squared distances: each point's scale sigma, and the two kernels.

A point whose n nearest neighbours are all duplicates of it has sigma = 0. Its weights are the limit
sigma -> 0: 1 to its duplicates, 0 to every other point, with slope 0. Nothing is ever divided by zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.types import EdgeValues, PerPoint, SameShape

# exp(-ratio) has long underflowed here; capped before the division, so that no slope is 0 * infinity.
_MAX_RATIO = 1e4


def sigma_squared(distance2: EdgeValues, n: int) -> PerPoint:
    """Return each row's `sigma^2 (R,)`: entry n of `distance2 (R, m)`, the row itself being the first."""
    return distance2[:, n - 1]


def edge_weights(distance2: SameShape, sigma2: Tensor, kernel: str = "gaussian") -> SameShape:
    """Return `W = exp(-d2 / sigma2)`, or `exp(-(d2 / sigma2)^2)` for the "published" kernel.

    Args:
        distance2: squared distances, any shape.
        sigma2: squared scales, broadcast against `distance2`.
        kernel: "gaussian" or "published".
    """
    degenerate, ratio = _ratio(distance2, sigma2)
    weight = torch.exp(-ratio if kernel == "gaussian" else -ratio.square())
    return torch.where(degenerate, (distance2 < _floor(distance2)).to(weight.dtype), weight)


def _ratio(distance2: Tensor, sigma2: Tensor) -> tuple[Tensor, Tensor]:
    """Return where sigma is zero, and the capped ratio d2 / sigma2, which is never divided by zero."""
    degenerate = sigma2 < _floor(sigma2)
    scale = torch.where(degenerate, torch.ones_like(sigma2), sigma2)
    return degenerate, torch.minimum(distance2, _MAX_RATIO * scale) / scale


def _floor(values: Tensor) -> float:
    """Return the squared distance below which two points count as duplicates: far below any rounding."""
    return float(torch.finfo(values.dtype).tiny ** 0.5)
