"""PDPGD: one player moves the image, the other sets the weight of a wrong answer against a small change."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, positive
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from attacks.minimal.smallest_change import SmallestChange
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, Pairs

LOWEST, LOWEST_L2 = 0.05, 0.01
"""Last length of a step as a share of the first: with proximal steps, and without them (L2)."""

TURN = 3
"""Tries of one turn under Linf, the last of which closes in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PDPGD:
    """Steps of Adam on the loss, a pull towards the clean image after or in each, and a price that adapts.

    Matyasko & Chau 2021 (arXiv:2106.01538), section 3: the Lagrangian of "smallest change that breaks" is a
    game. The image descends on the lead of its true class; the price of the right answer rises while the
    image stands and falls while it is broken. Under L1 a proximal step shrinks every change by the price of
    size over Adam's own scale, under Linf it cuts the largest ones to one size; under L2 the descent is on
    the size together with the loss (their PDGD).

    Four things differ from the paper. Under L1, changes with almost no gradient shrink by at most 30 times
    as much as the steepest does (without a limit such a change becomes zero again and again; with the inner
    loop of the released code the factor is about five). Under Linf all values of an image have one scale.
    Later tries start with shorter steps, because the best length depends on the image. Under Linf every third
    try closes in on the smallest changes so far (`attacks.minimal.closing_in`; an image without any plays
    on, with other steps), and those after the first three play the game towards the next likeliest classes at
    these points. A radius, if there is one, only decides which points count.

    Attributes:
        steps: gradient steps of a try; the paper uses 500.
        restarts: tries; each starts with half the step size of the one before, under Linf the first with a
            half of `step_size` and later ones with an eighth, or on what stands with all of it and a quarter.
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
        revision=3,
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
        from attacks.minimal.closing_in import close_in
        from attacks.minimal.smallest_change import SmallestChange
        from robench.attack.norms import LINF
        from robench.model.interface import Coupling

        x_adv, smallest = oracle.x, SmallestChange(oracle)
        # Points of different joint batches must not be mixed, so there every try is a game of its own.
        is_closing = oracle.threat.norm is LINF and oracle.model.coupling is not Coupling.JOINT
        for number in range(self.restarts):
            if number and oracle.finished:
                break
            oracle.begin_try()
            turn, place = divmod(number, TURN)
            if not is_closing:
                x_adv = self._descend(oracle, self.step_size / 2**number)
            elif place == TURN - 1:
                close_in(oracle, smallest, steps=self.steps)
                with oracle.only(smallest.size.isinf()):
                    x_adv = self._descend(oracle, self.step_size / 4**turn, smallest)
            else:
                length = self.step_size / (2 if number == 0 else 8)
                pairs = _other_classes(oracle, smallest, (TURN - 1) * (turn - 1) + place) if turn else None
                x_adv = self._descend(oracle, length, smallest, pairs)
        return oracle.threat.project(oracle.x, x_adv)

    def _descend(
        self,
        oracle: Oracle,
        step_size: float,
        smallest: SmallestChange | None = None,
        pairs: Pairs | None = None,
    ) -> Images:
        """Return the end points (B, C, H, W) of a game that starts at the clean images.

        Args:
            oracle: the way to the model.
            step_size: first length of a step, in units of the box.
            smallest: takes the changes that break an image.
            pairs: the label and the class that the game aims at, (B, 2); any other class if there is none.
        """
        import torch

        from attacks.minimal.proximal_steps import fewer, flatter
        from attacks.shared.adam import Adam
        from robench.attack.losses import ranked_margin, targeted_margin
        from robench.attack.norms import L1, L2, per_image

        x, threat = oracle.x, oracle.threat
        lowest = LOWEST_L2 if threat.norm is L2 else LOWEST
        loss = ranked_margin() if pairs is None else targeted_margin
        width, most = threat.bounds[1] - threat.bounds[0], math.log(1e6)
        x_adv, adam = x, Adam.at_rest(x)
        price = x.new_full((len(x),), -math.log(self.ratio)).clamp(-most, most)
        share = price.sigmoid()
        for step in range(self.steps):
            if oracle.finished:
                break
            with nullcontext() if smallest is None else smallest.meeting(x_adv):
                lead, gradient = oracle.value_and_gradient(loss, x_adv, pairs)
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
                proximal = fewer if threat.norm is L1 else flatter
                x_adv = threat.clip(x + proximal(change, adam.scale(), length * ratio))
            rise = self.price_step * (1 - 0.9 * progress)
            price = (price + rise * torch.where(is_broken, -1.0, 1.0)).clamp(-most, most)
            share = 0.9 * share + 0.1 * price.sigmoid()
        with nullcontext() if smallest is None else smallest.meeting(x_adv):
            oracle.outputs(x_adv)
        return x_adv


def _other_classes(oracle: Oracle, smallest: SmallestChange, rank: int) -> Pairs | None:
    """Return the label and the next likeliest class at the smallest changes, (B, 2); None under a target.

    Args:
        oracle: the way to the model.
        smallest: changes; the likeliest wrong class there is the one that they reach already.
        rank: 0 for the likeliest of the others; the last if there are no more.
    """
    from attacks.shared.tries import likeliest
    from robench.attack.threat import Goal

    if oracle.threat.goal is Goal.TARGETED:
        return None
    pairs = likeliest(oracle, smallest.points, rank + 2)
    return pairs[min(rank + 1, len(pairs) - 1)]
