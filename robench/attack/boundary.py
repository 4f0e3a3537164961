"""The last step of an attack that minimises: towards the clean image, on the network that the judge uses.

Smallest perturbations lie on a decision boundary, where rounding decides. A point that was adversarial for a
prepared copy, or only by the last bit, may not be adversarial for the judge. So each point is evaluated
again on the original network, moved outwards a little if it is not adversarial, and inwards, by bisection,
as far as it stays adversarial with a margin. Under L0 a shorter change is not smaller: there values are
reset to the clean ones, the least changed values first.
"""

from __future__ import annotations

import torch

from robench.attack.norms import L0, per_image
from robench.attack.oracle import Oracle
from robench.model.interface import Coupling
from robench.types import Images, Labels, Mask

STEPS = 10
"""Bisection steps: they give the size to a thousandth."""

MARGIN = 1e-5
"""Least lead of the attacker's class over the other, relative to the largest output of the image.

Rounding errors are proportional to the outputs, including a common offset. The spread of the outputs cannot
be used instead, as at the boundary of two classes it is the lead itself. A large common offset only costs
precision: no point is moved outwards further than `OUTWARD` allows.
"""

OUTWARD = (1.0, 1.001, 1.005, 1.02)
"""Factors of the perturbation's length to try, until the point is adversarial with a margin."""


def towards_the_clean_image(oracle: Oracle, proposal: Images) -> Images:
    """Return the proposals, each moved along a line to its clean image as far as it stays adversarial.

    Only points that the attack claims as broken are moved. The passes are counted. Images without budget for
    them, batches that belong together, a library's points, and points with a required confidence or lead are
    not moved.

    Args:
        oracle: of the attack, now with the original network.
        proposal: the attack's proposals, (B, C, H, W).
    """
    if (
        oracle.model.coupling is Coupling.JOINT
        or oracle.declarations.points_belong_together
        or oracle.declarations.is_library_attack
        or not oracle.track
    ):
        return proposal
    most_passes = (STEPS + len(OUTWARD)) * oracle.model.forwards
    rows = (oracle.ledger.claimed & oracle.affords(most_passes)).nonzero().squeeze(1)
    points = proposal.clone()
    for chunk in torch.split(rows, oracle.batch_size) if len(rows) else ():
        points[chunk] = _moved(oracle, chunk, proposal[chunk])
    return points


def _moved(oracle: Oracle, rows: Labels, points: Images) -> Images:
    """Return the points (b, C, H, W) of these rows (b,), each moved along the line to its clean image.

    First outwards, until it is adversarial with a margin; then inwards by bisection, as far as it stays so. A
    point that is not adversarial at any length in `OUTWARD` is not moved.
    """
    x, threat = oracle.x[rows], oracle.threat
    low, high = torch.zeros_like(oracle.best_size[rows]), torch.ones_like(oracle.best_size[rows])
    best, sure = points.clone(), torch.zeros(len(rows), dtype=torch.bool, device=x.device)
    for length in OUTWARD:
        if bool(sure.all()):
            break
        there = points if length == 1.0 else (x + length * (points - x)).clamp(*threat.bounds)
        good = ~sure & threat.admits(x, there)
        good[good.clone()] = _adversarial(oracle, rows[good], there[good])
        best = torch.where(per_image(good, best), there, best)
        high = torch.where(good, high * length, high)
        sure |= good
    if threat.norm is L0:
        return _fewer_values(oracle, rows, best, sure)
    if oracle.declarations.need_margin:
        return best
    for _ in range(STEPS):
        middle = (low + high) / 2
        there = (x + per_image(middle, x) * (points - x)).clamp(*threat.bounds)  # it may be beyond `points`
        good = sure.clone()
        good[sure] = _adversarial(oracle, rows[sure], there[sure])
        best = torch.where(per_image(good, best), there, best)
        high, low = torch.where(good, middle, high), torch.where(good, low, middle)
    return best


def _fewer_values(oracle: Oracle, rows: Labels, points: Images, sure: Mask) -> Images:
    """Return the points (b, C, H, W) with the fewest changed values that stay adversarial, by bisection."""
    x = oracle.x[rows]
    change = (points - x).abs().flatten(1)
    order = change.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(change.shape[1], device=x.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    best, few, many = points.clone(), torch.zeros_like(rows), (change > 0).sum(dim=1)
    for _ in range(STEPS):
        middle = (few + many) // 2
        open_ = sure & (middle > few)
        if not bool(open_.any()):
            break
        there = torch.where((rank < middle[:, None]).view(x.shape), points, x)
        good = open_.clone()
        good[open_] = _adversarial(oracle, rows[open_], there[open_])
        best = torch.where(per_image(good, best), there, best)
        many, few = torch.where(good, middle, many), torch.where(open_ & ~good, middle, few)
    return best


def _adversarial(oracle: Oracle, rows: Labels, points: Images) -> Mask:
    """Tell which points (b, C, H, W) of these rows reach the goal with a margin, by one pass."""
    if not len(rows):
        return torch.zeros(0, dtype=torch.bool, device=points.device)
    return oracle.lead(rows, points) >= MARGIN
