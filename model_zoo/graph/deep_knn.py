"""Deep k-nearest neighbours: one vote over the neighbours in several layers, and its conformal credibility.

Papernot & McDaniel 2018 (arXiv:1803.04765), Algorithm 1: with k neighbours in each of L layers, the
nonconformity of an image with class c is how many of the kL are of another class. Its p-value is the share of
calibration images, each with its true class, that conform no better; the prediction is the class of the
largest p-value, which is its credibility. A p-value never falls as votes rise, so the class of most votes has
the largest one; where several share it, votes decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from model_zoo.graph.knn import ballots
from robench.types import (
    ClassCounts,
    Features,
    IntPerRow,
    IntPerSample,
    Outputs,
    PerSample,
    PointLabels,
    Points,
)


def layer_votes(
    queries: Sequence[Features], points: Sequence[Points], labels: PointLabels, *, classes: int, k: int
) -> tuple[ClassCounts, Outputs]:
    """Return how many of the kL neighbours are of each class, (Q, C), and u (Q, C) on the simplex.

    `u_c = (v_c + b_c) / (kL + 1)`: one more vote is divided, b_c being the mean over layers of each layer's
    shares (`model_zoo.graph.knn`): in a tie the class of the nearer points wins.

    Args:
        queries: features (Q, D_l) of each layer.
        points: template features (T, D_l) of each layer.
        labels: template classes (T,).
        classes: number of classes C.
        k: neighbours in each layer, at most T.
    """
    parts = [
        ballots(query, near, labels, classes=classes, k=k)
        for query, near in zip(queries, points, strict=True)
    ]
    votes = torch.stack([votes for votes, _ in parts]).sum(0)
    share = torch.stack([share for _, share in parts]).mean(0)
    return votes, ((votes + share) / (k * len(parts) + 1)).to(queries[0].dtype)


def conforming(votes: Int[Tensor, " B *S"], calibration: IntPerRow) -> Int[Tensor, " B *S"]:
    """Return how many calibration images conform no better than each class, (Q, C) int64.

    Args:
        votes: of each class, (Q, C).
        calibration: votes (N,) that calibration images got for their true class, ascending.
    """
    return torch.searchsorted(calibration, votes.contiguous(), right=True)


def with_rejection(u: Outputs, credible: PerSample | IntPerSample, least: float) -> Float[Tensor, "B K+1"]:
    """Return u (Q, C + 1) with a column that is the largest exactly where too few images conform no better.

    The odds of rejection against the largest entry are `least` over that number, so that an attacker without
    gradients sees how far it is.

    Args:
        u: rows of the simplex (Q, C).
        credible: calibration images (Q,) that conform no better than the likeliest class.
        least: how many must do so; not a whole number, so that a tie is impossible.
    """
    odds = least / credible.to(u.dtype).clamp_min(0.25)
    whole = torch.cat([u, (u.amax(1) * odds)[:, None]], dim=1)
    return whole / whole.sum(1, keepdim=True)
