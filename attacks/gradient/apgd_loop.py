"""Auto-PGD's loop: ascent with momentum whose step every image halves for itself when it stops paying."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from robench.attack.norms import per_image
from robench.model.interface import Coupling

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.model.interface import GradientSource
    from robench.types import Images, Labels, Mask, PerSample

    Watch = Callable[[PerSample, int], Mask]


def checkpoints(steps: int) -> list[int]:
    """Return after which steps the step size is looked at, ascending, without the last step.

    Croce & Hein 2020 (arXiv:2003.01690), section 3.2: p_0 = 0, p_1 = 0.22, and the gaps shrink by 0.03 down
    to 0.06; w_j = ceil(p_j steps).
    """
    found: list[int] = []
    share, gap = 22, 22  # in per cent, for sums of decimals are not what they seem
    while (step := math.ceil(share * steps / 100)) < steps:
        if step > (found[-1] if found else 0):
            found.append(step)
        gap = max(gap - 3, 6)
        share += gap
    return found


def answers(
    oracle: Oracle,
    loss: Loss,
    point: Images,
    labels: Labels | None,
    *,
    source: GradientSource | None = None,
    apart: bool = False,
) -> tuple[PerSample, PerSample, Images]:
    """Return whether each image was answered (B,), its loss (B,), and its gradient (B, C, H, W).

    A loss that is no number is -inf, so that nothing is taken for an improvement. A joint batch is one
    problem: each of its images has the mean loss, so that all halve and go back at the same moment, and
    points of different steps are never mixed; unless `apart`, where each image has its own loss even there.
    """
    value, gradient = oracle.value_and_gradient(loss, point, labels, source=source)
    value = value.where(~value.isnan(), -torch.inf)
    answered = value > -torch.inf
    if not apart and oracle.model.coupling is Coupling.JOINT and bool(answered.any()):
        value = value[answered].mean().expand(len(value))
    return answered, value, gradient


def climb(
    oracle: Oracle,
    x: Images,
    start: Images,
    *,
    threat: ThreatModel,
    loss: Loss,
    steps: int,
    rho: float,
    momentum: float,
    labels: Labels | None = None,
    source: GradientSource | None = None,
    first: float | None = None,
    hold: bool = False,
    watch: Watch | None = None,
) -> Images:
    """Return the point of highest loss met, per image; `steps` + 1 forward and backward passes.

    Croce & Hein 2020 (arXiv:2003.01690), Algorithm 1, for Linf and L2. The first step is 2 eps long. At a
    checkpoint an image halves its step and returns to its best point if fewer than `rho` of the steps since
    the last one raised its loss, or if neither its step nor its best loss has changed since then.

    Args:
        oracle: the road to the model.
        x: clean images (B, C, H, W), the centre of the ball.
        start: where to start, (B, C, H, W).
        threat: norm, radius and box.
        loss: what to raise.
        steps: how many steps.
        rho: share of steps that must pay.
        momentum: weight of the last move in the next one.
        labels: for a loss that wants other labels than the oracle's.
        source: what to differentiate in place of the oracle's own source.
        first: length of the first step in input units; 2 eps by default.
        hold: let an image stand for as long as the model's own answer is what the attacker wants, and return
            that point of it. In a joint batch each image then also chooses its steps alone, as if the others
            stood still, and the batch returned has not been asked as one.
        watch: asked at every checkpoint which images go on; all do by default.
    """
    with oracle.ascent():
        return _climb(
            oracle, x, start, threat, loss, steps, rho, momentum, labels, source, first, hold, watch
        )


def _climb(
    oracle: Oracle,
    x: Images,
    start: Images,
    threat: ThreatModel,
    loss: Loss,
    steps: int,
    rho: float,
    momentum: float,
    labels: Labels | None,
    source: GradientSource | None,
    first: float | None,
    hold: bool,
    watch: Watch | None,
) -> Images:
    point, before = start, start
    _, value, gradient = answers(oracle, loss, point, labels, source=source, apart=hold)
    best, best_value, best_gradient = point, value, gradient
    size = x.new_full((len(x),), 2 * threat.eps if first is None else first)
    paid = torch.zeros_like(value)
    halved, last_best = torch.zeros_like(value, dtype=torch.bool), best_value
    looked, looks = 0, checkpoints(steps)
    going = torch.ones_like(halved)
    for step in range(1, steps + 1):
        if oracle.finished or not bool((going & oracle.active).any()):
            break
        ahead = threat.project(x, point + per_image(size, x) * threat.norm.ascent(gradient))
        if step > 1:
            move = (1 - momentum) * (ahead - point) + momentum * (point - before)
            ahead = threat.project(x, point + move)
        if hold:
            ahead = torch.where(per_image(oracle.reached, x), point, ahead)
        point, before = ahead, point
        previous = value
        with oracle.only(going):
            _, value, gradient = answers(oracle, loss, point, labels, source=source, apart=hold)
        paid += value > previous
        better = value > best_value
        best_value = torch.where(better, value, best_value)
        best = torch.where(per_image(better, x), point, best)
        best_gradient = torch.where(per_image(better, x), gradient, best_gradient)
        if step in looks:
            stuck = ~halved & (best_value <= last_best)
            halved = (paid < rho * (step - looked)) | stuck
            going = going if watch is None else going & watch(best_value, step)
            last_best, looked = best_value, step
            paid = torch.zeros_like(paid)
            size = torch.where(halved, size / 2, size)
            back = halved & ~oracle.reached if hold else halved
            value = torch.where(back, best_value, value)
            point = torch.where(per_image(back, x), best, point)
            gradient = torch.where(per_image(back, x), best_gradient, gradient)
    return torch.where(per_image(oracle.reached, x), point, best) if hold else best
