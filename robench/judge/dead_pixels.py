"""Did an attack get nowhere because many pixels have a gradient of exactly zero?

A layer in front of a network may be constant where pixels are dark or bright: `relu(x - 0.05)` takes a
background away, `clamp(0.05, 0.95)` the ends. There the gradient is zero, and an attack is told that these
pixels do not matter, though larger changes of them do. So if a good part of the pixels of surviving images
has no gradient, PGD starts from some of them that asks about such pixels again further inside the box.
"""

from __future__ import annotations

import torch

from robench.attack.losses import Loss, cross_entropy
from robench.attack.oracle import Oracle
from robench.judge.reference_ascent import MOST_ASKED, is_notable
from robench.judge.survivors import Survivors
from robench.plurals import counted
from robench.randomness import Randomness
from robench.record.schema import Finding
from robench.types import Images, Mask

STEPS = 20
GRADIENTS = 2 * STEPS

LEAST = 0.05
"""Share of pixels without a gradient (median over images that have any) from which the ascent is made."""

DEEPEST = 0.4
"""Pixels without a gradient are moved into the box by at most so much, in units of the box. The depth is the
square of a uniform number, drawn for each pixel and step: layers may be constant to any depth."""


def through_dead_pixels(survivors: Survivors) -> Finding | None:
    """Run PGD through pixels without a gradient; return a finding if too many survivors break."""
    search = _Search()
    loss, count = survivors.fallen(cross_entropy, STEPS, most=MOST_ASKED, step=search)
    if not is_notable(survivors, loss, count):
        return None
    return Finding(
        code="dead-pixels",
        evidence=f"{search.share:.0%} of the pixels have a gradient of exactly zero: {STEPS} steps of PGD "
        f"that ask about those again further inside the box broke {loss} of {counted(count, 'image')} that "
        "it left standing",
        remedy="Leave out what is constant at dark or bright pixels in front of the network (a clamp, a "
        "ReLU, a threshold), give a gradient source that passes it (BPDA), or add attacks without gradients",
    )


class _Search:
    """Gives gradients in which pixels without one have that of a point further inside the box.

    Attributes:
        share: of the pixels without a gradient at the first step (median over images that have one at all).
    """

    def __init__(self) -> None:
        self.share = -1.0

    def __call__(self, oracle: Oracle, loss: Loss, point: Images, draw: Randomness) -> Images | None:
        """Return gradients (B, C, H, W), or None if too few pixels have none."""
        gradient = oracle.gradient(loss, point)
        has_any = (gradient != 0).flatten(1).any(dim=1)
        dead: Mask = (gradient == 0) & has_any.view(-1, *[1] * (point.dim() - 1))
        if self.share < 0:
            if not bool(has_any.any()):
                return None  # no gradient at all is another matter
            self.share = float(dead[has_any].flatten(1).double().mean(dim=1).median())
        if self.share < LEAST:
            return None
        low, high = oracle.model.bounds
        depth = draw.uniform(point) ** 2 * DEEPEST * (high - low)
        inside = torch.where(dead, point + ((low + high) / 2 - point).sign() * depth, point)
        return torch.where(dead, oracle.gradient(loss, inside), gradient)
