"""Edge weights from squared distances: each point's scale sigma, the two kernels, and their slopes.

A point whose n nearest neighbours are all duplicates of it has sigma = 0. Its weights are the limit
sigma -> 0: 1 to its duplicates, 0 to every other point, with slope 0. Nothing is ever divided by zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

# exp(-ratio) has long underflowed here; the cap keeps 0 * infinity out of the slopes.
_MAX_RATIO = 1e4


def sigma_squared(distance2: Tensor, n: int) -> Tensor:
    """Return each row's `sigma^2 (R,)`: entry n of `distance2 (R, m)`, the row itself being the first."""
    return distance2[:, n - 1]


def edge_weights(distance2: Tensor, sigma2: Tensor, kernel: str = "gaussian") -> Tensor:
    """Return `W = exp(-d2 / sigma2)`, or `exp(-(d2 / sigma2)^2)` for the "published" kernel.

    Args:
        distance2: squared distances, any shape.
        sigma2: squared scales, broadcast against `distance2`.
        kernel: "gaussian" or "published".
    """
    degenerate, ratio, _ = _ratio(distance2, sigma2)
    weight = torch.exp(-ratio if kernel == "gaussian" else -ratio.square())
    return torch.where(degenerate, (distance2 < _floor(distance2)).to(weight.dtype), weight)


def weight_slopes(distance2: Tensor, sigma2: Tensor, kernel: str = "gaussian") -> tuple[Tensor, Tensor]:
    """Return `dW / d(d2)` and `dW / d(sigma2)`, both of the shape of `distance2`."""
    degenerate, ratio, scale = _ratio(distance2, sigma2)
    by_ratio = -torch.exp(-ratio) if kernel == "gaussian" else -2 * ratio * torch.exp(-ratio.square())
    by_distance2 = (by_ratio / scale).masked_fill(degenerate, 0.0)
    return by_distance2, -ratio * by_distance2


def _ratio(distance2: Tensor, sigma2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where sigma is zero, the capped ratio d2 / sigma2, and a divisor that is never zero."""
    degenerate = sigma2 < _floor(sigma2)
    scale = torch.where(degenerate, torch.ones_like(sigma2), sigma2)
    return degenerate, (distance2 / scale).clamp(max=_MAX_RATIO), scale


def _floor(values: Tensor) -> float:
    """Return the squared distance below which two points count as duplicates: far below any rounding."""
    return float(torch.finfo(values.dtype).tiny ** 0.5)
