"""DeepFool: step over the nearest boundary of the model's linear approximation, until the label changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, not_negative
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.norms import Norm
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images

SURE = 1e-5
"""Least lead, relative to the image's largest lead so far, that does not depend on kernel or batch.

These sum scores in another order. The limit is relative to leads, so that a factor on the scores, or a
constant added to all of them, does not change which points are kept.
"""


def free_part(gradient: Images, x_adv: Images, bounds: tuple[float, float]) -> Images:
    """Return the gradient (B, C, H, W), zero for pixels at the end of the box that would leave it."""
    import torch

    low, high = bounds
    return gradient.where(torch.where(gradient > 0, x_adv < high, x_adv > low), 0.0)


def nearest_boundary(oracle: Oracle, x_adv: Images, *, norm: Norm, rivals: int) -> Images:
    """Return the smallest step (B, C, H, W) to a boundary of the model linearised at `x_adv`.

    Moosavi-Dezfooli et al. 2016, Eq. 8 and 9, for any norm: the boundary of a score difference f with
    gradient w is |f| / |w|* away, along the steepest direction of w. The step is zero for an image that
    already reached the goal, that is not evaluated, or whose gradients are all zero. Pixels that cannot move
    further are left out of the linear model: with them, as published, steps near the box never reach the
    boundary. A targeted goal has one boundary, between the target and the best other class.

    Args:
        oracle: the way to the model; one forward and one backward pass for each rival.
        x_adv: where to linearise, (B, C, H, W).
        norm: the norm that measures the step.
        rivals: how many of the best wrong classes compete.
    """
    import torch

    from robench.attack.losses import ranked_margin
    from robench.attack.norms import per_image
    from robench.attack.threat import Goal

    count = 1 if oracle.threat.goal is Goal.TARGETED else min(rivals, oracle.model.classes - 1)
    step, distance = torch.zeros_like(x_adv), x_adv.new_full((len(x_adv),), torch.inf)
    successes = torch.zeros(len(x_adv), dtype=torch.bool, device=x_adv.device)
    for rank in range(count):
        with oracle.only(~successes):
            value, gradient = oracle.value_and_gradient(ranked_margin(rank), x_adv)
        if rank == 0:
            successes = oracle.reached.clone()
            if bool(successes.all()):
                break
        gradient = free_part(gradient, x_adv, oracle.threat.bounds)
        direction = norm.ascent(gradient)
        steepness = (gradient * direction).flatten(1).sum(dim=1)
        away = torch.where(steepness > 0, value.abs() / steepness, torch.inf)
        nearer = (away < distance) & ~successes
        distance = away.where(nearer, distance)
        away = away.where(nearer, 0.0)
        step = torch.where(per_image(nearer, step), per_image(away, step) * direction, step)
    return step


def cross(oracle: Oracle, start: Images, *, steps: int, rivals: int, overshoot: float) -> Images:
    """Walk over nearest boundaries from `start` until the model itself is fooled; return the points reached.

    Moosavi-Dezfooli et al. 2016, Algorithm 2, inside the box: the sum of the steps is lengthened by a share
    of itself, and parts of it that the box cuts off are dropped. The points may leave the radius.

    Args:
        oracle: the way to the model.
        start: where to begin, (B, C, H, W); the size of the perturbation is measured from here.
        steps: most linearisations.
        rivals: how many of the best wrong classes compete.
        overshoot: share by which the steps are lengthened.
    """
    import torch

    threat = oracle.threat
    total, point = torch.zeros_like(start), start
    resting = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    for _ in range(steps):
        if oracle.finished or bool(resting.all()):
            break
        with oracle.only(~resting):
            step = nearest_boundary(oracle, point, norm=threat.norm, rivals=rivals)
        resting = oracle.reached.clone()
        total = threat.clip(start + total + step) - start
        point = threat.clip(start + (1 + overshoot) * total)
    with oracle.only(~resting):
        oracle.outputs(point)
    return point


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepFool:
    """Smallest steps over the boundaries of linear approximations, until the label changes.

    Moosavi-Dezfooli et al. 2016 (arXiv:1511.04599), Algorithm 2 and section 3.3; for a linear model one
    step is exact. Its perturbations may be larger than the smallest one: after crossing, it does not go back.

    Attributes:
        steps: most linearisations of each image.
        rivals: how many of the best wrong classes compete; each costs a forward and a backward pass a step.
            The paper takes 10 if there are many.
        overshoot: share by which the perturbation is lengthened, to end beyond the boundary, not on it.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.deepfool:DeepFool",
        title="DeepFool",
        paper="Moosavi-Dezfooli et al. 2016, arXiv:1511.04599",
        bibtex=paper("moosavi2016deepfool"),
        norms=("Linf", "L2"),
        minimises=True,
        revision=2,
    )
    steps: int = 50
    rivals: int = 9
    overshoot: float = 0.02

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, rivals=self.rivals)
        not_negative(overshoot=self.overshoot)

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        oracle.declarations.least_lead = SURE
        point = cross(oracle, oracle.x, steps=self.steps, rivals=self.rivals, overshoot=self.overshoot)
        return oracle.threat.project(oracle.x, point)
