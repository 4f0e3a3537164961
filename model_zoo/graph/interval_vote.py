"""A sound lower bound of the independent protocol's answers while features move inside a box.

Notation of `independent.py`. Over the box every squared distance d_t lies in an interval, and

- t may be among the m - 1 nearest unless m - 1 others are nearer everywhere in the box, and surely is if
  fewer than m - 1 others may be nearer or as near somewhere. Who is nearer of s and t is a linear question,
  `d_s - d_t = |z_s|^2 - |z_t|^2 - 2 z (z_s - z_t)`, answered exactly over the box, and by the network's own
  bounds of linear functions of z where it has some (`carried.py`);
- sigma^2 is the (n-1)-th smallest distance, and order statistics keep intervals;
- an outward weight falls with d_t / sigma^2, an inward one with d_t, and is there while d_t is at most the
  radius of t;
- each of the n - 1 nearest has a weight of at least exp(-1).

So each class's mass has a lower and an upper bound, and the true class's share minus another's is smallest
if its mass is smallest and the other's largest. The dependence between weights is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from model_zoo.graph.carried import Linear, also_nearer, distances_over, rounding_of, surely_nearer
from model_zoo.graph.independent import PreparedTemplate
from model_zoo.graph.settings import Graph
from robench.types import Features, Labels, Outputs

_LEAST = math.exp(-1)
"""Weight of a neighbour at the distance sigma, under both kernels."""


def share_margins(
    low: Features, high: Features, y: Labels, prepared: PreparedTemplate, *, linear: Linear | None = None
) -> Outputs:
    """Return lower bounds (B, C) of u_y - u_c over boxes of features, for one template; 0 for y itself.

    Args:
        low: (B, D) lowest features, float64.
        high: (B, D) highest features, float64.
        y: (B,) classes.
        prepared: the template.
        linear: bounds of linear functions of the features; None leaves the box.
    """
    points = prepared.features.double()
    rows = [_one(low[i], high[i], int(y[i]), points, prepared, linear, i) for i in range(len(low))]
    return torch.stack(rows) if rows else low.new_zeros(0, prepared.classes)


def vote_margins(margins: Sequence[Outputs], y: Labels, rule: str) -> Outputs:
    """Return lower bounds (B, C) of the combined result of several templates for y minus each other class.

    Args:
        margins: (B, C) of each template.
        y: (B,) classes.
        rule: `mean`, or `majority`: a vote of each template, and the mean as one more that is shared.
    """
    each = torch.stack(list(margins))
    mean = each.mean(0)
    if rule == "mean":
        return mean
    others = each.scatter(2, y.expand(len(each), -1)[..., None], torch.inf)
    sure = (others > 0).all(dim=2)
    # A template may vote for a class that y does not surely beat; for several of them none is counted twice.
    against = ((others <= 0) & ~sure[..., None]).sum(0)
    bound = (sure.sum(0)[:, None] - against + mean) / (len(each) + 1)
    return bound.scatter(1, y[:, None], 0.0)


def _one(
    low: Tensor,
    high: Tensor,
    y: int,
    points: Tensor,
    template: PreparedTemplate,
    linear: Linear | None,
    image: int,
) -> Tensor:
    """Return the bounds (C,) for the box of one query."""
    graph, count, classes = template.graph, len(points), template.classes
    labels = template.labels.to(points.device)
    # The head computes distances in float32: both ends are widened by the possible rounding error.
    off = rounding_of(points.shape[1])
    nearest, farthest = distances_over(low, high, points, linear, image)
    nearest, farthest = nearest * (1 - off), farthest * (1 + off)
    nearer = surely_nearer(low, high, points, off) | (farthest[:, None] < nearest[None])
    if linear is not None:
        # Only possible neighbours are bounded; the nearest ones exclude others.
        middle = (points - (low + high) / 2).square().sum(1)
        close = torch.zeros_like(labels, dtype=torch.bool)
        close[middle.topk(min(graph.m - 1, count), largest=False).indices] = True
        pairs = close[:, None] & (nearer.sum(dim=0) < graph.m - 1)[None]
        nearer = also_nearer(nearer, pairs, low, high, points, linear, image)
    others = (~nearer).sum(dim=1)  # of t: how many s, t among them, t is not surely nearer than
    out, own = graph.m - 1, graph.n - 1
    possible = nearer.sum(dim=0) < out
    sure = others - 1 < out
    first = others - 1 < own
    scale_low, scale_high = (side.kthvalue(own).values for side in (nearest, farthest))
    least = _kernel(farthest / scale_low.clamp_min(1e-300), graph)
    least = torch.where(first, least.clamp_min(_LEAST), least) * sure
    most = torch.where(possible, _kernel(nearest / scale_high.clamp_min(1e-300), graph), 0.0)
    most = torch.where(nearer.sum(dim=0) < own, most, most.clamp_max(_LEAST))  # not nearer than sigma
    mu = graph.coupling(points=count + 1, template=count)
    inward = [(1 + mu) * _inward(side, template, graph) for side in (farthest, nearest)]
    radius = template.radius2.double().to(points.device)
    inward[0] = inward[0] * (farthest <= radius)
    inward[1] = inward[1] * (nearest <= radius)
    one_hot = torch.nn.functional.one_hot(labels, classes).to(points.dtype)
    lower = (least + inward[0]) @ one_hot
    upper = _largest(most, sure, labels, classes, out) + inward[1] @ one_hot
    strangers = int(((nearer.sum(dim=0) < own) & (labels != y)).sum())
    lower_y = torch.maximum(lower[y], inward[0] @ one_hot[:, y] + max(0, own - strangers) * _LEAST)
    # u_y - u_c = (M_y - M_c) / (M_y + M_c + rest) rises with M_y, falls with M_c, and shrinks with the rest.
    difference = lower_y - upper
    largest_rest = upper.sum() - upper[y] - upper
    smallest_rest = lower.sum() - lower[y] - lower
    rest = torch.where(difference > 0, largest_rest, smallest_rest).clamp_min(0.0)
    share = (difference / (lower_y + upper + rest).clamp_min(1e-300)).clamp_min(-1.0)
    share[y] = 0.0
    return share


def _kernel(ratio: Tensor, graph: Graph) -> Tensor:
    return torch.exp(-ratio if graph.kernel == "gaussian" else -ratio.square())


def _inward(distance2: Tensor, template: PreparedTemplate, graph: Graph) -> Tensor:
    """Return the weight that each template point gives a query at a distance (T,); it falls with it."""
    inner, outer = (side.double().to(distance2.device) for side in (template.inner2, template.outer2))
    scale = torch.minimum(torch.maximum(distance2, inner), outer)
    weight = _kernel(distance2 / scale.clamp_min(1e-300), graph)
    return torch.where(scale <= 0, (distance2 <= 0).to(weight), weight)


def _largest(most: Tensor, sure: Tensor, labels: Tensor, classes: int, out: int) -> Tensor:
    """Return the largest outward mass of each class (C,), with the most neighbours others can leave to it."""
    masses = []
    for c in range(classes):
        own = labels == c
        room = max(0, out - int((sure & ~own).sum()))
        values = most[own]
        masses.append(values.topk(min(room, len(values))).values.sum())
    return torch.stack(masses)
