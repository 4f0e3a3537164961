"""PDPGD: one player moves the image, the other sets what a wrong answer is worth against a small change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, positive
from attacks.shared.papers import MATYASKO_PDPGD
from robench.attack.protocol import AttackInfo

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images

LOWEST = 0.05
"""Share of its first length that a step has in the end."""

REACH = 30.0
"""A change shrinks by at most so many times what the one of the steepest value does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PDPGD:
    """Steps of Adam on the loss, each followed by the proximal step of the L1 size, and a price that adapts.

    Matyasko & Chau 2021 (arXiv:2106.01538), section 3, for L1: the Lagrangian of "smallest change that
    breaks" is a game. The image descends on the lead of its true class; the price of the right answer rises
    while it stands and falls while it is broken. The proximal step shrinks every change by the price of size
    over Adam's own scale. Two things are ours: changes that almost no gradient supports shrink by no more
    than 30 times what the steepest does (without a limit a change starts over at nothing all the time, and
    with the inner loop of the released code it is about five), and a second try starts with a quarter of the
    step. A radius, if there is one, only says what counts.

    Attributes:
        steps: gradient steps of a try; the paper uses 500.
        restarts: tries; each starts with a quarter of the step size of the one before.
        step_size: first length of a step, in units of the box; it falls to a twentieth.
        price_step: first change of the price's logarithm; it falls to a tenth.
        ratio: first weight of the size against the loss.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="PDPGD",
        paper="Matyasko & Chau 2021, arXiv:2106.01538",
        bibtex=MATYASKO_PDPGD,
        norms=("L1",),
        minimises=True,
    )
    steps: int = 500
    restarts: int = 2
    step_size: float = 0.2
    price_step: float = 0.1
    ratio: float = 0.01

    def __post_init__(self) -> None:
        """Refuse options that mean nothing."""
        at_least(1, steps=self.steps, restarts=self.restarts)
        positive(step_size=self.step_size, price_step=self.price_step, ratio=self.ratio)

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        x_adv = oracle.x
        for number in range(self.restarts):
            if number and oracle.finished:
                break
            oracle.begin_try()
            x_adv = self._descend(oracle, self.step_size / 4**number)
        return oracle.threat.project(oracle.x, x_adv)

    def _descend(self, oracle: Oracle, step_size: float) -> Images:
        """Return where a game ends that starts at the clean images, (B, C, H, W)."""
        import torch

        from attacks.shared.adam import Adam
        from robench.attack.losses import ranked_margin
        from robench.attack.norms import LINF, per_image

        x, threat = oracle.x, oracle.threat
        loss, width, most = ranked_margin(), threat.bounds[1] - threat.bounds[0], math.log(1e6)
        x_adv, adam = x, Adam.at_rest(x)
        price = x.new_full((len(x),), -math.log(self.ratio)).clamp(-most, most)
        share = price.sigmoid()
        for step in range(self.steps):
            if oracle.finished:
                break
            lead, gradient = oracle.value_and_gradient(loss, x_adv)
            is_broken, progress = oracle.reached, step / self.steps
            # Descent on softplus(-lead), whose slope at a lead is sigmoid(-lead); nothing once it is broken.
            weight = (-lead).sigmoid().where(~is_broken & lead.isfinite(), 0.0)
            length = step_size * width * LOWEST**progress
            point = x_adv + length * adam.direction(gradient * per_image(weight, x))
            change = threat.clip(point) - x
            scale = adam.scale()
            steepest = per_image(LINF.size(scale), x)
            support = (steepest / scale).clamp_max(REACH)
            shrink = length / steepest * per_image((1 - share) / share, x) * support
            x_adv = threat.clip(x + change.sign() * (change.abs() - shrink).clamp_min(0))
            rise = self.price_step * (1 - 0.9 * progress)
            price = (price + rise * torch.where(is_broken, -1.0, 1.0)).clamp(-most, most)
            share = 0.9 * share + 0.1 * price.sigmoid()
        oracle.outputs(x_adv)
        return x_adv
