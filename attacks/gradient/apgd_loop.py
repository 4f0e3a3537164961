"""Auto-PGD's loops: ascent with momentum whose step every image halves for itself; sparse steps under L1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from robench.attack.norms import L1, per_image
from robench.model.interface import Coupling

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.model.interface import GradientSource
    from robench.types import Images, LabelsOrPairs, Mask, PerSample

    Watch = Callable[[PerSample, int], Mask]

# Constants of Croce & Hein 2021 (arXiv:2103.01208), section 4.
SPARSER = 1.5  # the step has this many times fewer pixels than the best perturbation
PROGRESS = 0.95  # a perturbation that got sparser than this share begins anew with long steps
SHORTER, SHORTEST = 1.5, 10.0  # by which a step shrinks, and at most in all
RADII = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))  # multiples of eps, and their share of the steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """How to climb.

    Attributes:
        steps: how many steps.
        rho: share of steps between two checkpoints that must raise the loss; unused under L1.
        momentum: weight of the last move in the next one; unused under L1.
        first: length of the first step in input units; 2 eps by default; unused under L1.
        hold: do not move an image while the model's own output reaches the attacker's goal, and return that
            point of it. In a joint batch each image then also chooses its steps alone, as if the others did
            not move, and the returned batch has not been evaluated together. Unused under L1.
    """

    steps: int
    rho: float = 0.75
    momentum: float = 0.25
    first: float | None = None
    hold: bool = False


def checkpoints(steps: int) -> list[int]:
    """Return after which steps the step size is checked, ascending, without the last step.

    Croce & Hein 2020 (arXiv:2003.01690), section 3.2: p_0 = 0, p_1 = 0.22, and the gaps shrink by 0.03 down
    to 0.06; w_j = ceil(p_j steps).
    """
    moments: list[int] = []
    share, gap = 22, 22  # in per cent, because sums of decimals are not exact
    while (step := math.ceil(share * steps / 100)) < steps:
        if step > (moments[-1] if moments else 0):
            moments.append(step)
        gap = max(gap - 3, 6)
        share += gap
    return moments


def _answers(
    oracle: Oracle,
    loss: Loss,
    point: Images,
    labels: LabelsOrPairs | None,
    *,
    source: GradientSource | None = None,
    apart: bool = False,
) -> tuple[PerSample, Images]:
    """Return the loss (B,) at a point (B, C, H, W) and its gradient (B, C, H, W).

    A NaN loss becomes -inf, so that it never counts as an improvement. A joint batch is one problem: each of
    its images gets the mean loss, so that all halve their step and go back at the same moment, and points of
    different steps are never mixed. With `apart`, each image has its own loss even there.
    """
    value, gradient = oracle.value_and_gradient(loss, point, labels, source=source)
    value = value.where(~value.isnan(), -torch.inf)
    active = value > -torch.inf
    if not apart and oracle.model.coupling is Coupling.JOINT and bool(active.any()):
        value = value[active].mean().expand(len(value))
    return value, gradient


def climb(
    oracle: Oracle,
    start: Images,
    loss: Loss,
    how: Climb,
    *,
    labels: LabelsOrPairs | None = None,
    source: GradientSource | None = None,
    watch: Watch | None = None,
) -> Images:
    """Return the point of highest loss met, (B, C, H, W); `steps` + 1 forward and backward passes.

    Croce & Hein 2020 (arXiv:2003.01690), Algorithm 1, for Linf and L2. The first step is 2 eps long. At a
    checkpoint an image halves its step and returns to its best point if fewer than `rho` of the steps since
    the last one raised its loss, or if neither its step nor its best loss has changed since then.

    Args:
        oracle: access to the model; its threat has norm, radius and box.
        start: starting points, (B, C, H, W).
        loss: the loss to maximise.
        how: number of steps, and how they are chosen.
        labels: for a loss that needs other labels than the oracle's.
        source: gradient source to use instead of the oracle's own.
        watch: called at every checkpoint with the best loss (B,) so far and the number of steps; returns
            which images go on; all do by default.
    """
    with oracle.ascent():
        return _climb(oracle, start, loss, how, labels, source, watch)


def _climb(
    oracle: Oracle,
    start: Images,
    loss: Loss,
    how: Climb,
    labels: LabelsOrPairs | None,
    source: GradientSource | None,
    watch: Watch | None,
) -> Images:
    """Return the point of highest loss met, (B, C, H, W); arguments as `climb`.

    Under `hold` an image stays where it has reached the goal, and that point is returned for it.
    """
    x, threat = oracle.x, oracle.threat
    point, before = start, start
    value, gradient = _answers(oracle, loss, point, labels, source=source, apart=how.hold)
    best, best_value, best_gradient = point, value, gradient
    size = x.new_full((len(x),), 2 * threat.eps if how.first is None else how.first)
    rises = torch.zeros_like(value)
    cuts, last_best = torch.zeros_like(value, dtype=torch.bool), best_value
    last_look, looks = 0, checkpoints(how.steps)
    going = torch.ones_like(cuts)
    for step in range(1, how.steps + 1):
        if oracle.finished or not bool((going & oracle.active).any()):
            break
        ahead = threat.project(x, point + per_image(size, x) * threat.norm.ascent(gradient))
        if step > 1:
            move = (1 - how.momentum) * (ahead - point) + how.momentum * (point - before)
            ahead = threat.project(x, point + move)
        if how.hold:
            ahead = torch.where(per_image(oracle.reached, x), point, ahead)
        point, before = ahead, point
        previous = value
        with oracle.only(going):
            value, gradient = _answers(oracle, loss, point, labels, source=source, apart=how.hold)
        rises += value > previous
        better = value > best_value
        best_value = torch.where(better, value, best_value)
        best = torch.where(per_image(better, x), point, best)
        best_gradient = torch.where(per_image(better, x), gradient, best_gradient)
        if step in looks:
            stuck = ~cuts & (best_value <= last_best)
            cuts = (rises < how.rho * (step - last_look)) | stuck
            going = going if watch is None else going & watch(best_value, step)
            last_best, last_look = best_value, step
            rises = torch.zeros_like(rises)
            size = torch.where(cuts, size / 2, size)
            back = cuts & ~oracle.reached if how.hold else cuts
            value = torch.where(back, best_value, value)
            point = torch.where(per_image(back, x), best, point)
            gradient = torch.where(per_image(back, x), best_gradient, gradient)
    return torch.where(per_image(oracle.reached, x), point, best) if how.hold else best


def climb_sparsely(
    oracle: Oracle, start: Images, loss: Loss, *, steps: int, labels: LabelsOrPairs | None = None
) -> Images:
    """Return the point of highest loss met in the ball of L1, (B, C, H, W).

    Croce & Hein 2021 (arXiv:2103.01208), Algorithm 1 and section 4.3: the first 30 % of the steps play in the
    ball of three times the radius, the next 30 % in that of twice, the rest in the right one, each from the
    projection of the previous end point. Each radius costs one pass more than it has steps.

    Args:
        oracle: access to the model; it does not count points outside its own ball as successes.
        start: starting points, (B, C, H, W), in any ball.
        loss: the loss to maximise.
        steps: total number of steps.
        labels: for a loss that needs other labels than the oracle's.
    """
    counts = [math.ceil(share * steps) for _, share in RADII[:-1]]
    counts.append(max(steps - sum(counts), 1))
    point = start
    for (factor, _), count in zip(RADII, counts, strict=True):
        wider = replace(oracle.threat, eps=factor * oracle.threat.eps)
        point = _climb_in_one_ball(oracle, wider.project(oracle.x, point), wider, loss, count, labels)
    return point


def _climb_in_one_ball(
    oracle: Oracle, start: Images, threat: ThreatModel, loss: Loss, steps: int, labels: LabelsOrPairs | None
) -> Images:
    """Climb in the ball of `threat`; the start decides how many pixels the first step has.

    A pixel whose gradient points out of the box is not chosen, because the step would have no effect on it.
    """
    x, point = oracle.x, start
    every = max(int(0.04 * steps), 1)
    value, gradient = _answers(oracle, loss, point, labels)
    best, best_value, best_gradient = point, value, gradient
    pixel_counts = _pixels(point - x)
    count = pixel_counts / SPARSER
    size = x.new_full((len(x),), threat.eps)
    for step in range(1, steps + 1):
        if oracle.finished:
            break
        movable = torch.where(gradient > 0, point < threat.bounds[1], point > threat.bounds[0])
        direction = _sparse(gradient.where(movable, 0.0), count)
        point = threat.project(x, point + per_image(size, x) * direction)
        value, gradient = _answers(oracle, loss, point, labels)
        better = value > best_value
        best_value = torch.where(better, value, best_value)
        best = torch.where(per_image(better, x), point, best)
        best_gradient = torch.where(per_image(better, x), gradient, best_gradient)
        if step % every == 0:
            now = _pixels(best - x)
            sparser = now < PROGRESS * pixel_counts
            size = torch.where(sparser, threat.eps, (size / SHORTER).clamp_min(threat.eps / SHORTEST))
            point = torch.where(per_image(sparser, x), best, point)
            gradient = torch.where(per_image(sparser, x), best_gradient, gradient)
            count, pixel_counts = now / SPARSER, now
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
    signs = gradient.flatten(1).sign() * (slope >= least)
    total = L1.size(signs)[:, None]
    return (signs / total.clamp_min(1)).view(gradient.shape)
