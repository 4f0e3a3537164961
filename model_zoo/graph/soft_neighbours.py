"""Kernel density with one bandwidth, `log sum_{t: y_t = c} exp(-|z - z_t|^2 / h^2)`, and a sound lower bound.

`|z|^2` is common to all classes, so that a margin compares sums of exponentials of functions that are linear
in z: with `l_t = (2 z z_t - |z_t|^2) / h^2`,

    f_y - f_c = -log sum_{t of c} exp(l_t - log sum_{s of y} exp(l_s)).

The inner logarithm is convex in z and so above each of its tangents L: `f_y - f_c >= -log sum_t exp(max(l_t -
L))`, where each `l_t - L` is linear. At a point it is exact; what is lost is that not all l_t - L are largest
at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model_zoo.graph.carried import Linear
from model_zoo.graph.neighbours import nearest_neighbours
from robench.types import Features, Labels, Outputs, PointLabels, Points


@torch.no_grad()
def bandwidth_squared(points: Points, n: int) -> float:
    """Return h^2: the median over points (T, D) of the squared distance to their n-th neighbour among them.

    A point is its own first neighbour. If that median is 0 (duplicates), it is replaced by the mean, and by 1
    if all points are equal.
    """
    distance2 = nearest_neighbours(points.double(), n).distance2[:, -1]
    median, mean = float(distance2.median()), float(distance2.mean())
    return median or mean or 1.0


def log_posteriors(
    query: Features, points: Points, labels: PointLabels, *, classes: int, h2: float
) -> Outputs:
    """Return log probabilities (Q, C) for features (Q, D): densities of the classes, scaled to sum 1.

    Classes count as often as they are among the points (T, D) with labels (T,). Computed in float64, from
    functions that are linear in the query; a class without points has minus infinity.
    """
    centre = points.double().mean(0)
    z, near = query.double() - centre, points.double() - centre
    exponents = (2 * z @ near.T - near.square().sum(1)) / h2
    scores = [torch.logsumexp(exponents[:, labels == c], dim=1) for c in range(classes)]
    return torch.log_softmax(torch.stack(scores, dim=1), dim=1).to(query.dtype)


def density_margins_over(
    low: Features,
    high: Features,
    y: Labels,
    points: Points,
    labels: PointLabels,
    *,
    classes: int,
    h2: float,
    linear: Linear | None = None,
) -> Outputs:
    """Return lower bounds (B, C) of f_y - f_c while features move; 0 for y itself.

    Args:
        low: (B, D) lowest features, float64.
        high: (B, D) highest features.
        y: (B,) classes.
        points: (T, D) template points.
        labels: (T,) their classes.
        classes: number of classes C.
        h2: squared bandwidth.
        linear: bounds of linear functions of the features; None leaves the box.
    """
    points = points.double()
    rows = [
        _one((low[i], high[i]), int(y[i]), points, labels, classes, h2, linear, i) for i in range(len(low))
    ]
    return torch.stack(rows) if rows else low.new_zeros(0, classes)


def _one(
    box: tuple[Tensor, Tensor],
    y: int,
    points: Tensor,
    labels: Tensor,
    classes: int,
    h2: float,
    linear: Linear | None,
    image: int,
) -> Tensor:
    """Return the bounds (C,) for one query, whose features lie between the two ends of a box."""
    low, high = box
    middle, radius = (low + high) / 2, (high - low) / 2
    near = points - middle  # distances from the middle, so that no large numbers cancel
    at = -near.square().sum(1) / h2  # of l_t there, up to the same constant for all
    own = labels == y
    share = torch.softmax(at[own], dim=0)
    value, slope = torch.logsumexp(at[own], dim=0), share @ near[own]
    a = 2 * (slope - near) / h2  # L - l_t = value - at + a (z - middle)
    least = -(a.abs() @ radius)
    if linear is not None:
        least = torch.maximum(least, linear(a, image) - a @ middle)
    # Rounding of sums of that many products, with room.
    reach = middle.abs() + radius
    size = at.abs() + value.abs() + a.abs() @ reach + (2 / h2) * (near[own].abs().amax(dim=0) @ reach)
    most = at - value - least + 2.0**-40 * (1 + size)
    bound = low.new_zeros(classes)
    for c in range(classes):
        if c != y:
            bound[c] = -torch.logsumexp(most[labels == c], dim=0)
    return bound
