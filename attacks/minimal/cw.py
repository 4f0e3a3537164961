"""C&W, the L2 attack of Carlini and Wagner: the smallest perturbation, by penalty and Adam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, not_negative, positive
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Mask, PerSample

# Adam's constants (Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1).
BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8

# The tanh of the change of variables reaches this far beyond the box, and w stays where the image is inside.
# With 1, as published, tanh' = 0 at the box's ends: pixels that are exactly 0 or 1 could never move.
STRETCH = 2.0

# When it is adversarial, the step size of an image that was raised falls by this factor per step.
SLOW_DOWN = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class CW:
    """The smallest L2 change by Adam on distance plus a margin of scores, inside the box by a tanh.

    It minimises ||x_adv - x||^2 + c max(-kappa, s_y - max_{i != y} s_i) over w, x_adv = (tanh w + 1) / 2.

    Carlini & Wagner 2017 (arXiv:1608.04644), section V.A and VI.A; Wang & Osher 2019 (arXiv:1907.06800),
    Eq. 17-20 and 23. The formula is for an untargeted goal; under a targeted goal label and other classes are
    exchanged. For each image the smallest admissible adversarial point of all steps counts.

    Attributes:
        c: weight of the misclassification term; if binary_search_steps > 1, its first value.
        kappa: by how much the scores must favour the wrong class, for confident examples that transfer.
        steps: Adam steps for each value of c; the paper uses 50 on CIFAR-10, 100 on MNIST.
        learning_rate: of Adam on w; the paper uses 0.006 on CIFAR-10, 0.003 on MNIST.
        binary_search_steps: values of c tried per image, by bisection; 1 keeps c fixed.
        speed_up: factor per step by which the rate of an image grows while it is not adversarial. A fixed
            rate and number of steps limit how far pixels can move, and this limit would look like
            robustness. 1 is the published fixed rate.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.cw:CW",
        title="C&W",
        paper="Carlini & Wagner 2017, arXiv:1608.04644; Wang & Osher 2019, arXiv:1907.06800, Eq. 17-20",
        bibtex=paper("carlini2017towards"),
        norms=("L2",),
        minimises=True,
    )
    c: float = 10.0
    kappa: float = 0.0
    steps: int = 50
    learning_rate: float = 0.006
    binary_search_steps: int = 1
    speed_up: float = 1.05

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, binary_search_steps=self.binary_search_steps)
        positive(c=self.c, learning_rate=self.learning_rate)
        not_negative(kappa=self.kappa)
        if not 1 <= self.speed_up <= 2:
            raise ConfigError(where="speed_up", expected="a factor from 1 to 2", got=repr(self.speed_up))

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        x, threat = oracle.x, oracle.threat
        oracle.declarations.confidence = self.kappa
        c = x.new_full((len(x),), self.c)
        lower, upper = c.new_zeros(len(x)), c.new_full((len(x),), math.inf)
        x_adv = x
        for search in range(self.binary_search_steps):
            if oracle.finished:
                break
            x_adv, successes = self._minimise(oracle, x, threat, c)
            if search + 1 < self.binary_search_steps:
                lower, upper = lower.where(successes, c), c.where(successes, upper)
                c = ((lower + upper) / 2).where(upper < math.inf, 10 * c)
        return threat.project(x, x_adv)

    def _minimise(self, oracle: Oracle, x: Images, threat: ThreatModel, c: PerSample) -> tuple[Images, Mask]:
        """Run Adam on w for one c per image; return the last point and which images were misclassified."""
        import torch

        from robench.attack.losses import margin
        from robench.attack.norms import per_image

        middle, half = sum(threat.bounds) / 2, (threat.bounds[1] - threat.bounds[0]) / 2
        reach, limit = half * STRETCH, math.atanh(1 / STRETCH)
        w = ((x - middle) / reach).atanh()
        mean, variance = torch.zeros_like(w), torch.zeros_like(w)
        x_adv, successes = x, torch.zeros(len(x), dtype=torch.bool, device=x.device)
        speed = torch.ones_like(c)
        for step in range(1, self.steps + 1):
            if oracle.finished:
                break
            # The oracle's margin rises with the attacker's success; its hinge is applied here by hand, so
            # that a satisfied hinge is not recorded as a zero gradient of the model.
            value, ascent = oracle.value_and_gradient(margin, x_adv)
            successes |= (value >= self.kappa) & (value > 0)
            weight = c.where(value < self.kappa, 0.0)
            slope = reach * (1 - w.tanh().square())
            gradient = (2 * (x_adv - x) - per_image(weight, x) * ascent) * slope
            mean.lerp_(gradient, 1 - BETA_1)
            variance.lerp_(gradient.square(), 1 - BETA_2)
            scale = (variance / (1 - BETA_2**step)).sqrt_().add_(TINY)
            # Divided by STRETCH, a mid-grey pixel moves as fast as in the published parameterisation.
            rate = per_image(speed, x) * (self.learning_rate / STRETCH / (1 - BETA_1**step))
            speed = (speed * SLOW_DOWN).clamp_min(1).where(successes, speed * self.speed_up)
            active = per_image(value > -math.inf, x)  # dropped or out of budget: not moved
            w = (w - rate * mean / scale).clamp_(-limit, limit).where(active, w)
            x_adv = threat.clip(middle + reach * w.tanh()).where(active, x_adv)
        value = oracle.value(margin, x_adv)
        return x_adv, successes | ((value >= self.kappa) & (value > 0))
