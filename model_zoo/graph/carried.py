"""Bounds, through the network, of functions linear in the features: which point is nearer, and distances.

`d_t - d_s = |z_t|^2 - |z_s|^2 + 2 z (z_s - z_t)` is linear in the features z of a query, so it can be carried
back to the image like a margin. This uses the dependence between features, which a box ignores.
A distance `|z|^2 - 2 z z_t + |z_t|^2` is not linear, but its square part lies between a tangent and chords.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robench.types import FeatureRow, PerRow, PointPairs, Points

Linear = Callable[[Tensor, int], Tensor]
"""Lower bounds (N,) of `a z` for rows a (N, D), over the features z that an image (its number) can have."""


def rounding_of(width: int) -> float:
    """Return a safe bound of float32's relative error in squared distances of so many features."""
    return (width + 8) * 2.0**-22


def distances_over(
    low: FeatureRow, high: FeatureRow, points: Points, linear: Linear | None, image: int
) -> tuple[PerRow, PerRow]:
    """Return smallest and largest squared distances (T,) from points (T, D) to the features of an image.

    Args:
        low: (D,) lowest features, float64.
        high: (D,) highest features.
        points: template points, float64.
        linear: bounds of linear functions of the features; None leaves the box.
        image: number of the image.
    """
    nearest = (points - points.clamp(low, high)).square().sum(1)
    farthest = torch.maximum((points - low).abs(), (points - high).abs()).square().sum(1)
    if linear is None:
        return nearest, farthest
    middle = (low + high) / 2
    # z^2 is above its tangent 2 m z - m^2 everywhere, and below its chord (l + h) z - l h inside of [l, h].
    own = points.square().sum(1)
    room = 2.0**-40 * (farthest + own + low.square().sum() + high.square().sum())
    tangent = linear(2 * (middle - points), image) - middle.square().sum() + own
    chord = -linear(-(low + high - 2 * points), image) - (low * high).sum() + own
    return torch.maximum(nearest, tangent - room), torch.minimum(farthest, chord + room)


def surely_nearer(low: FeatureRow, high: FeatureRow, points: Points, off: float) -> PointPairs:
    """Tell of s (rows) and t (columns) whether s is nearer than t everywhere in a box, (T, T)."""
    middle, radius = (low + high) / 2, (high - low) / 2
    distance = (points - middle).square().sum(1)
    spread = torch.cdist(points * radius, points * radius, p=1)
    largest = (points - middle).abs().add(radius).square().sum(1)
    room = off * (largest[:, None] + largest[None])
    return distance[:, None] - distance[None] + 2 * spread + room < 0


def also_nearer(
    nearer: PointPairs,
    pairs: PointPairs,
    low: FeatureRow,
    high: FeatureRow,
    points: Points,
    linear: Linear,
    image: int,
) -> PointPairs:
    """Return `nearer` (T, T) with further pairs (T, T) that the network's own bounds decide.

    Only undecided pairs whose order is right at the middle of the box are bounded.
    """
    middle = (low + high) / 2
    distance = (points - middle).square().sum(1)
    s, t = (pairs & ~nearer & (distance[:, None] < distance[None])).nonzero(as_tuple=True)
    largest = torch.maximum((points - low).abs(), (points - high).abs()).square().sum(1)
    own = points.square().sum(1)
    room = rounding_of(points.shape[1]) * (largest[s] + largest[t]) + 2.0**-40 * (own[s] + own[t])
    sure = linear(2 * (points[s] - points[t]), image) + own[t] - own[s] > room
    result = nearer.clone()
    result[s[sure], t[sure]] = True
    return result
