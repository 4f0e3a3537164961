"""Auto-PGD's loop under L1: sparse steps whose number of pixels follows the best point's."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from attacks.gradient.apgd_loop import answers
from robench.attack.norms import L1, per_image

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.types import Images, Labels, PerSample

# Constants of Croce & Hein 2021 (arXiv:2103.01208), section 4.
SPARSER = 1.5  # the step has this many times fewer pixels than the best perturbation
PROGRESS = 0.95  # a perturbation that got sparser than this share begins anew with long steps
SHORTER, SHORTEST = 1.5, 10.0  # by which a step shrinks, and at most in all
RADII = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))  # multiples of eps, and their share of the steps


def climb_sparsely(
    oracle: Oracle,
    x: Images,
    start: Images,
    *,
    threat: ThreatModel,
    loss: Loss,
    steps: int,
    labels: Labels | None = None,
) -> Images:
    """Return the point of highest loss met in the ball, per image.

    Croce & Hein 2021 (arXiv:2103.01208), Algorithm 1 and section 4.3: the first 30 % of the steps play in the
    ball of three times the radius, the next 30 % in that of twice, the rest in the right one, each from the
    projection of where the one before ended. Each radius costs one pass more than it has steps.

    Args:
        oracle: the road to the model; it takes no point outside its own ball for a success.
        x: clean images (B, C, H, W).
        start: where to start, (B, C, H, W), in any ball.
        threat: radius and box; its norm is L1.
        loss: what to raise.
        steps: how many steps in all.
        labels: for a loss that wants other labels than the oracle's.
    """
    counts = [math.ceil(share * steps) for _, share in RADII[:-1]]
    counts.append(max(steps - sum(counts), 1))
    point = start
    for (factor, _), count in zip(RADII, counts, strict=True):
        wider = replace(threat, eps=factor * threat.eps)
        point = _climb(oracle, x, wider.project(x, point), wider, loss, count, labels)
    return point


def _climb(
    oracle: Oracle,
    x: Images,
    start: Images,
    threat: ThreatModel,
    loss: Loss,
    steps: int,
    labels: Labels | None,
) -> Images:
    """Climb in one ball; the start says how many pixels the first step has.

    A pixel whose gradient points out of the box is not chosen, for the step would be lost on it.
    """
    every, point = max(int(0.04 * steps), 1), start
    _, value, gradient = answers(oracle, loss, point, labels)
    best, best_value, best_gradient = point, value, gradient
    filled = _pixels(point - x)
    count = filled / SPARSER
    size = x.new_full((len(x),), threat.eps)
    for step in range(1, steps + 1):
        if oracle.finished:
            break
        movable = torch.where(gradient > 0, point < threat.bounds[1], point > threat.bounds[0])
        step_to = _sparse(gradient.where(movable, 0.0), count)
        point = threat.project(x, point + per_image(size, x) * step_to)
        _, value, gradient = answers(oracle, loss, point, labels)
        better = value > best_value
        best_value = torch.where(better, value, best_value)
        best = torch.where(per_image(better, x), point, best)
        best_gradient = torch.where(per_image(better, x), gradient, best_gradient)
        if step % every == 0:
            now = _pixels(best - x)
            sparser = now < PROGRESS * filled
            size = torch.where(sparser, threat.eps, (size / SHORTER).clamp_min(threat.eps / SHORTEST))
            point = torch.where(per_image(sparser, x), best, point)
            gradient = torch.where(per_image(sparser, x), best_gradient, gradient)
            count, filled = now / SPARSER, now
    return best


def _pixels(delta: Images) -> PerSample:
    """Return how many entries are not zero, (B,)."""
    return (delta != 0).flatten(1).sum(dim=1).to(delta.dtype)


def _sparse(gradient: Images, count: PerSample) -> Images:
    """Return the unit step of equal changes in the `count` steepest pixels, at least one."""
    slope = gradient.flatten(1).abs()
    if slope.numel() == 0:
        return gradient
    last = (count.long().clamp(1, slope.shape[1]) - 1)[:, None]
    least = slope.sort(dim=1, descending=True).values.gather(1, last)
    chosen = gradient.flatten(1).sign() * (slope >= least)
    total = L1.size(chosen)[:, None]
    return (chosen / total.clamp_min(1)).view(gradient.shape)
