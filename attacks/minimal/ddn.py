"""DDN, decoupled direction and norm: a gradient decides the direction, success decides the distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.minimal.deepfool import SURE
from attacks.shared.options import at_least, positive
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


def anneal(first: float, last: float, done: float) -> float:
    """Return a number that falls from `first` to `last` along half a cosine, as `done` goes from 0 to 1.

    Loshchilov & Hutter 2017 (arXiv:1608.03983), Eq. 5, without restarts.
    """
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DDN:
    """Gradient steps on a sphere that shrinks while its points succeed and grows while they do not.

    Rony et al. 2019 (arXiv:1811.09600), Algorithm 1, L2. Points are not rounded to 256 grey levels, which the
    paper does optionally. A radius, if there is one, only decides which points count.

    Attributes:
        steps: gradient steps; the paper uses 100, 300 and 1000.
        gamma: share by which the sphere's radius changes each step.
        radius: first radius of the sphere, in input units.
        step_size: first length of a step, in input units; it falls to a hundredth along a cosine.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.ddn:DDN",
        title="DDN",
        paper="Rony et al. 2019, arXiv:1811.09600",
        bibtex=paper("rony2019decoupling"),
        norms=("L2",),
        minimises=True,
        revision=2,
    )
    steps: int = 300
    gamma: float = 0.05
    radius: float = 1.0
    step_size: float = 1.0

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        positive(gamma=self.gamma, radius=self.radius, step_size=self.step_size)
        if self.gamma >= 1:
            raise ConfigError(where="gamma", expected="a share below 1", got=repr(self.gamma))

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        import torch

        from robench.attack.losses import cross_entropy
        from robench.attack.norms import L2, per_image

        x, threat = oracle.x, oracle.threat
        oracle.declarations.least_lead = SURE
        x_adv, delta = x, torch.zeros_like(x)
        radius = x.new_full((len(x),), self.radius)
        for step in range(self.steps):
            if oracle.finished:
                break
            gradient = oracle.gradient(cross_entropy, x_adv)
            length = anneal(self.step_size, self.step_size / 100, step / self.steps)
            delta = delta + length * L2.ascent(gradient)
            radius = radius * torch.where(oracle.reached, 1 - self.gamma, 1 + self.gamma)
            x_adv = threat.clip(x + per_image(radius, x) * L2.ascent(delta))
            delta = x_adv - x
        oracle.outputs(x_adv)
        return threat.project(x, x_adv)
