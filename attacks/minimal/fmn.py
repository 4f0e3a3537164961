"""FMN, fast minimum-norm: gradient steps inside a ball whose radius closes in on the boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.minimal.ddn import anneal
from attacks.minimal.deepfool import SURE, free_part
from attacks.shared.options import at_least, positive
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class FMN:
    """Projected gradient steps in a ball that shrinks on success, and is first set by a linear estimate.

    Pintor et al. 2021 (arXiv:2102.12827), Algorithm 1, for Linf and L2. The loss is the lead of the best
    wrong class. A radius of the threat model, if there is one, only decides which points count. Two things
    differ from the paper: pixels that cannot move further are left out of the gradient, because they waste
    the ball (without this most black-and-white digits are not broken under L2), and the linear estimate is
    lengthened by gamma, because a point on the boundary is not beyond it.

    Attributes:
        steps: gradient steps; the paper uses 100 and 1000.
        gamma: first share by which the ball's radius changes each step; it falls to `last_gamma`.
        last_gamma: its last value.
        step_size: first length of a step, in input units and L2; it falls to `last_step_size`. Under Linf and
            for large images the paper also uses 10.
        last_step_size: its last value.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.fmn:FMN",
        title="FMN",
        paper="Pintor et al. 2021, arXiv:2102.12827",
        bibtex=paper("pintor2021fast"),
        norms=("Linf", "L2"),
        minimises=True,
        revision=2,
    )
    steps: int = 300
    gamma: float = 0.05
    last_gamma: float = 1e-4
    step_size: float = 1.0
    last_step_size: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        positive(
            gamma=self.gamma,
            last_gamma=self.last_gamma,
            step_size=self.step_size,
            last_step_size=self.last_step_size,
        )
        if self.gamma >= 1:
            raise ConfigError(where="gamma", expected="a share below 1", got=repr(self.gamma))

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        import torch

        from robench.attack.losses import ranked_margin
        from robench.attack.norms import L2

        x, threat = oracle.x, oracle.threat
        oracle.declarations.least_lead = SURE
        loss = ranked_margin()
        x_adv, delta = x, torch.zeros_like(x)
        radius = x.new_full((len(x),), torch.inf)
        smallest, successes = radius.clone(), torch.zeros_like(oracle.reached)
        for step in range(self.steps):
            if oracle.finished:
                break
            value, gradient = oracle.value_and_gradient(loss, x_adv)
            hits, size = oracle.reached, threat.norm.size(delta)
            smallest, successes = torch.minimum(smallest, size).where(hits, smallest), successes | hits
            gradient = free_part(gradient, x_adv, threat.bounds)
            gamma = anneal(self.gamma, self.last_gamma, step / self.steps)
            steepness = (gradient * threat.norm.ascent(gradient)).flatten(1).sum(dim=1)
            away = torch.where(steepness > 0, value.abs() / steepness, 0.0)
            guess = size + (1 + gamma) * away
            outside = torch.where(successes, radius * (1 + gamma), guess)
            radius = torch.where(hits, torch.minimum(radius * (1 - gamma), smallest), outside)
            length = anneal(self.step_size, self.last_step_size, step / self.steps)
            delta = threat.norm.project(delta + length * L2.ascent(gradient), radius)
            x_adv = threat.clip(x + delta)
            delta = x_adv - x
        oracle.outputs(x_adv)
        return threat.project(x, x_adv)
