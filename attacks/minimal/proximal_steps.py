"""Proximal steps of the sizes L1 and Linf: a change becomes smaller by as much as its size costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robench.types import Images, PerSample

REACH = 30.0
"""A change shrinks by at most so many times as much as the change of the steepest value."""


def fewer(change: Images, scale: Images, price: PerSample) -> Images:
    """Return the proximal step of the L1 size from a change: every value shrinks.

    Args:
        change: after the step on the loss, (B, C, H, W).
        scale: divisor of that step in Adam, (B, C, H, W).
        price: price of the size, in lengths of a step, (B,).
    """
    from robench.attack.norms import LINF, per_image

    steepest = LINF.size(scale)
    support = (per_image(steepest, change) / scale).clamp_max(REACH)
    shrink = per_image(price / steepest, change) * support
    return change.sign() * (change.abs() - shrink).clamp_min(0)


def flatter(change: Images, scale: Images, price: PerSample) -> Images:
    """Return the proximal step of the Linf size from a change: the largest values shrink to one size.

    It is the change minus its projection on a ball of the dual norm, L1 (Moreau's decomposition). All values
    of an image have one scale: with different scales a closed form does not exist. Arguments are those of
    `fewer`.
    """
    from robench.attack.norms import L1

    return change - L1.project(change, price / scale.flatten(1).mean(dim=1))
