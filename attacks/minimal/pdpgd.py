"""PDPGD: one player moves the image, the other sets the weight of a wrong answer against a small change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, positive
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, PerSample

LOWEST, LOWEST_L2 = 0.05, 0.01
"""Last length of a step as a share of the first: with proximal steps, and without them (L2)."""

REACH = 30.0
"""A change shrinks by at most so many times as much as the change of the steepest value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PDPGD:
    """Steps of Adam on the loss, a pull towards the clean image after or in each, and a price that adapts.

    Matyasko & Chau 2021 (arXiv:2106.01538), section 3: the Lagrangian of "smallest change that breaks" is a
    game. The image descends on the lead of its true class; the price of the right answer rises while the
    image stands and falls while it is broken. Under L1 a proximal step shrinks every change by the price of
    size over Adam's own scale, under Linf it cuts the largest ones to one size; under L2 the descent is on
    the size together with the loss (their PDGD).

    Three things differ from the paper. Under L1, changes with almost no gradient shrink by at most 30 times
    as much as the steepest does (without a limit such a change becomes zero again and again; with the inner
    loop of the released code the factor is about five). Under Linf all values of an image have one scale.
    Later tries start with shorter steps, because the best length depends on the image. A radius, if there is
    one, only decides which points count.

    Attributes:
        steps: gradient steps of a try; the paper uses 500.
        restarts: tries; each starts with half the step size of the one before.
        step_size: first length of a step, in units of the box; it falls to a twentieth, under L2 to a
            hundredth.
        price_step: first change of the price's logarithm; it falls to a tenth.
        ratio: first weight of the size against the loss.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="PDPGD",
        paper="Matyasko & Chau 2021, arXiv:2106.01538",
        bibtex=paper("matyasko2021pdpgd"),
        norms=("Linf", "L2", "L1"),
        minimises=True,
        revision=2,
    )
    steps: int = 300
    restarts: int = 6
    step_size: float = 1.6
    price_step: float = 0.1
    ratio: float = 0.01

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, restarts=self.restarts)
        positive(step_size=self.step_size, price_step=self.price_step, ratio=self.ratio)

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        x_adv = oracle.x
        for number in range(self.restarts):
            if number and oracle.finished:
                break
            oracle.begin_try()
            x_adv = self._descend(oracle, self.step_size / 2**number)
        return oracle.threat.project(oracle.x, x_adv)

    def _descend(self, oracle: Oracle, step_size: float) -> Images:
        """Return the end points (B, C, H, W) of a game that starts at the clean images."""
        import torch

        from attacks.shared.adam import Adam
        from robench.attack.losses import ranked_margin
        from robench.attack.norms import L1, L2, per_image

        x, threat = oracle.x, oracle.threat
        lowest = LOWEST_L2 if threat.norm is L2 else LOWEST
        loss, width, most = ranked_margin(), threat.bounds[1] - threat.bounds[0], math.log(1e6)
        x_adv, adam = x, Adam.at_rest(x)
        price = x.new_full((len(x),), -math.log(self.ratio)).clamp(-most, most)
        share = price.sigmoid()
        for step in range(self.steps):
            if oracle.finished:
                break
            lead, gradient = oracle.value_and_gradient(loss, x_adv)
            is_broken, progress = oracle.reached, step / self.steps
            # Descent on softplus(-lead), whose slope at a lead is sigmoid(-lead). The proximal step alone
            # moves a broken image back; if both are one gradient, the loss keeps it at the boundary.
            weight = (-lead).sigmoid().where(lead.isfinite(), 0.0)
            length = step_size * width * lowest**progress
            if threat.norm is L2:
                pull = gradient * per_image(weight * share, x)
                pull = pull - per_image(1 - share, x) * L2.ascent(x_adv - x)
                x_adv = threat.clip(x_adv + length * adam.direction(pull))
            else:
                weight = weight.where(~is_broken, 0.0)
                point = x_adv + length * adam.direction(gradient * per_image(weight, x))
                change, ratio = threat.clip(point) - x, (1 - share) / share
                proximal = _fewer if threat.norm is L1 else _flatter
                x_adv = threat.clip(x + proximal(change, adam.scale(), length * ratio))
            rise = self.price_step * (1 - 0.9 * progress)
            price = (price + rise * torch.where(is_broken, -1.0, 1.0)).clamp(-most, most)
            share = 0.9 * share + 0.1 * price.sigmoid()
        oracle.outputs(x_adv)
        return x_adv


def _fewer(change: Images, scale: Images, price: PerSample) -> Images:
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


def _flatter(change: Images, scale: Images, price: PerSample) -> Images:
    """Return the proximal step of the Linf size from a change: the largest values shrink to one size.

    It is the change minus its projection on a ball of the dual norm, L1 (Moreau's decomposition). All values
    of an image have one scale: with different scales a closed form does not exist. Arguments are those of
    `_fewer`.
    """
    from robench.attack.norms import L1

    return change - L1.project(change, price / scale.flatten(1).mean(dim=1))
