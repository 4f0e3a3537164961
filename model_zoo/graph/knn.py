"""The vote of the k nearest template points, and a sound lower bound of it while features move.

`u_c = (v_c + b_c) / (k + 1)`: v_c of the k nearest are of class c, and one more vote is shared, b_c in
proportion to k minus the rank of the first of class c. It never counts more than a whole vote: in a tie the
class of the nearest point wins.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model_zoo.graph.carried import Linear, also_nearer, rounding_of, surely_nearer
from model_zoo.graph.neighbours import neighbours_in
from robench.types import ClassCounts, Features, Labels, Outputs, PointLabels, Points


def nearest_votes(query: Features, points: Points, labels: PointLabels, *, classes: int, k: int) -> Outputs:
    """Return u (Q, C) on the simplex for features (Q, D) among template points (T, D) with labels (T,)."""
    votes, share = ballots(query, points, labels, classes=classes, k=k)
    u = (votes + share) / (k + 1)
    return u.to(query.dtype if query.is_floating_point() else torch.float32)


def ballots(
    query: Features, points: Points, labels: PointLabels, *, classes: int, k: int
) -> tuple[ClassCounts, Outputs]:
    """Return how many of the k nearest are of each class, (Q, C), and its share of the divided vote."""
    voters = labels[neighbours_in(query, points, k).ids]
    one_hot = torch.nn.functional.one_hot(voters, classes)
    weight = (k - torch.arange(k, device=query.device))[:, None] * one_hot
    first = weight.amax(1).to(torch.float64)  # k minus the rank of the first of the class; 0 without one
    return one_hot.sum(1), first / first.sum(1, keepdim=True)


def vote_margins_over(
    low: Features,
    high: Features,
    y: Labels,
    points: Points,
    labels: PointLabels,
    *,
    classes: int,
    k: int,
    linear: Linear | None = None,
) -> Outputs:
    """Return lower bounds (B, C) of u_y - u_c while features move; 0 for y itself.

    Args:
        low: (B, D) lowest features, float64.
        high: (B, D) highest features.
        y: (B,) classes.
        points: (T, D) template points.
        labels: (T,) their classes.
        classes: number of classes C.
        k: how many vote, at most T.
        linear: bounds of linear functions of the features; None leaves the box.
    """
    points = points.double()
    rows = [
        _one((low[i], high[i]), int(y[i]), points, labels, classes, k, linear, i) for i in range(len(low))
    ]
    return torch.stack(rows) if rows else low.new_zeros(0, classes)


def _one(
    box: tuple[Tensor, Tensor],
    y: int,
    points: Tensor,
    labels: Tensor,
    classes: int,
    k: int,
    linear: Linear | None,
    image: int,
) -> Tensor:
    """Return the bounds (C,) for one query, whose features lie between the two ends of a box."""
    low, high = box
    nearer = surely_nearer(low, high, points, rounding_of(points.shape[1]))
    own = labels == y
    if linear is not None:
        distance = (points - (low + high) / 2).square().sum(1).masked_fill(~own, torch.inf)
        voters = torch.zeros_like(own)
        voters[distance.topk(min(k, int(own.sum()), len(own)), largest=False).indices] = True
        pairs = voters[:, None] & ~own[None] & (nearer.sum(dim=0) < k)[None]
        nearer = also_nearer(nearer, pairs, low, high, points, linear, image)
    possible = nearer.sum(dim=0) < k
    sure = (~nearer).sum(dim=1) - 1 < k  # fewer than k others, itself not counted, may be nearer or as near
    # If y has fewer than j votes, more than k - j others that may vote come before its j-th nearest point.
    maybe = (~nearer[own][:, possible & ~own]).sum(dim=1)
    votes = max(int((sure & own).sum()), k - int((possible & ~own).sum()), _rank_count(maybe, k))
    before = nearer[own].sum(dim=0)  # how many of class y are nearer than each point
    bound = low.new_zeros(classes)
    for c in range(classes):
        if c != y:
            rival = labels == c
            ahead = nearer[~rival][:, rival].sum(dim=0)
            most = min(
                int((possible & rival).sum()),
                k - int((sure & ~rival).sum()),
                _rank_count(ahead, k),
                k - votes,
            )
            bound[c] = _against(before[possible & rival].sort().values.tolist(), votes, most, k)
    return bound


def _rank_count(before: Tensor, k: int) -> int:
    """Return the largest j so that j points have at most k - j of other classes before them."""
    ranks = before.sort().values[:k]
    enough = (ranks <= k - torch.arange(1, len(ranks) + 1)).nonzero()
    return int(enough.max()) + 1 if len(enough) else 0


def _against(before: list[int], votes: int, most: int, k: int) -> float:
    """Return a lower bound of u_y - u_c.

    If m points of class c vote, then one of them has at least the m-th smallest number of points of class y
    that are nearer everywhere, and these vote too.

    Args:
        before: for each point of class c that may vote, how many of class y are surely nearer; in order.
        votes: the least number of votes of y.
        most: the largest number of votes of c.
        k: how many vote.
    """
    unit = 2 / (k * (k + 1))  # at least as much of the shared vote divides two ranks, and goes to any voter
    worst = votes / (k + 1) if votes else 0.0
    for m in range(1, most + 1):
        ahead = max(votes, min(before[m - 1], k)) - m
        # If y's first is before all of class c that may vote, the shared vote favours y.
        split_vote = unit if before[0] >= 1 else (unit - 1 if ahead + m > 0 else -1.0)
        worst = min(worst, (ahead + split_vote) / (k + 1))
    return worst
