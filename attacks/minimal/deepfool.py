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
"""Least lead, relative to the largest met of the image, that another kernel or batch will see too.

They add scores up in another order. It is relative to leads, so that scores may be multiplied by anything,
and anything may be added to all of them, without a change in what is kept.
"""


def free_part(gradient: Images, x_adv: Images, bounds: tuple[float, float]) -> Images:
    """Return the gradient (B, C, H, W) without the pixels that are at the box's end and would leave it."""
    import torch

    low, high = bounds
    return gradient.where(torch.where(gradient > 0, x_adv < high, x_adv > low), 0.0)


def nearest_boundary(oracle: Oracle, x_adv: Images, *, norm: Norm, rivals: int) -> Images:
    """Return the smallest step (B, C, H, W) to a boundary of the model linearised at `x_adv`.

    Moosavi-Dezfooli et al. 2016, Eq. 8 and 9, for any norm: the boundary of a score difference f of
    gradient w is |f| / |w|* away, along the steepest direction of w. The step is zero for an image that has
    what the attacker wants already, that is not asked about, or whose gradients are all zero. Pixels that
    cannot go on are left out of the linear model: with them, as published, steps fall short of the boundary
    for ever where the box is near. A targeted goal has one boundary, that of the target and its best rival.

    Args:
        oracle: the road to the model; one forward and one backward pass for each rival.
        x_adv: where to linearise, (B, C, H, W).
        norm: what is small.
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

    Moosavi-Dezfooli et al. 2016, Algorithm 2, inside the box: the sum of the steps is overshot by a share of
    itself, and parts of it that the box cuts off are forgotten. The radius is not obeyed on the way.

    Args:
        oracle: the road to the model.
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
    step is exact. Its points are no smaller than the smallest perturbation: once over, it does not go back.

    Attributes:
        steps: most linearisations of each image.
        rivals: how many of the best wrong classes compete; each costs a forward and a backward pass a step.
            The paper takes 10 where there are many.
        overshoot: share by which the perturbation is lengthened, to be over the boundary and not on it.
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
        oracle.least_lead = SURE
        point = cross(oracle, oracle.x, steps=self.steps, rivals=self.rivals, overshoot=self.overshoot)
        return oracle.threat.project(oracle.x, point)
