"""SPSA: gradients estimated from scores alone, by stepping both ways along random corners of a cube."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, finite_radius, positive
from robench.attack.protocol import AttackInfo, Knowledge
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, PerSample

# Adam's constants (Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1), as Uesato et al. use it.
BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8


def estimate(
    value: Callable[[Images], PerSample], point: Images, rng: Randomness, *, samples: int, delta: float
) -> Images:
    """Return an estimate of the gradient of `value` at `point`, (B, C, H, W).

    Spall 1992; Uesato et al. 2018, Algorithm 1: the mean of (f(p + d v) - f(p - d v)) / 2d v over random
    signs v. Its expectation is the gradient, exactly where f is quadratic, up to O(d^2) elsewhere. A NaN
    difference counts as 0.

    Args:
        value: gives f per image, (B, C, H, W) to (B,); called 2 * samples times.
        point: images (B, C, H, W).
        rng: draws the signs.
        samples: how many pairs.
        delta: length d of the step in each pixel, in input units.
    """
    import torch

    from robench.attack.norms import per_image

    total = torch.zeros_like(point)
    for _ in range(samples):
        sign = 1 - 2 * (rng.uniform(point) < 0.5).to(point.dtype)
        slope = (value(point + delta * sign) - value(point - delta * sign)) / (2 * delta)
        total += per_image(slope.where(slope.isfinite(), 0.0), point) * sign
    return total / samples


@dataclass(frozen=True, slots=True, kw_only=True)
class SPSA:
    """Adam on the margin of the scores, with the gradient estimated by simultaneous perturbation.

    Uesato et al. 2018 (arXiv:1802.05666), Algorithm 1 and section 3.2. A model with masked gradients resists
    gradient attacks, but not this one. Every query lies in the box: the gradient is estimated at the point
    nearest to the iterate that has room for both steps.

    Attributes:
        steps: Adam steps.
        samples: pairs of queries for each step; the paper uses up to 8192 queries.
        delta: length of a query's step in each pixel, in input units.
        learning_rate: of Adam, in input units.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.spsa:SPSA",
        title="SPSA",
        paper="Uesato et al. 2018, arXiv:1802.05666",
        bibtex=paper("uesato2018adversarial"),
        norms=("Linf", "L2"),
        knowledge=Knowledge.SCORE,
        randomised=True,
        own_source="scores",
    )
    steps: int = 100
    samples: int = 128
    delta: float = 0.01
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, samples=self.samples)
        positive(delta=self.delta, learning_rate=self.learning_rate)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the last iterate; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite, or the box has no room for a step of `delta` both ways.
        """
        import torch

        from robench.attack.losses import ranked_margin

        x, threat = oracle.x, oracle.threat
        finite_radius(threat.eps, "SPSA")
        low, high = threat.bounds
        if 2 * self.delta > high - low:
            raise ConfigError(
                where="delta", expected=f"at most half the box, {(high - low) / 2}", got=repr(self.delta)
            )
        loss = ranked_margin()
        x_adv, mean, variance = x, torch.zeros_like(x), torch.zeros_like(x)
        for step in range(1, self.steps + 1):
            if oracle.finished:
                break
            centre = x_adv.clamp(low + self.delta, high - self.delta)
            gradient = estimate(
                lambda point: oracle.value(loss, threat.clip(point)),  # clipping undoes rounding only
                centre,
                rng,
                samples=self.samples,
                delta=self.delta,
            )
            mean.lerp_(gradient, 1 - BETA_1)
            variance.lerp_(gradient.square(), 1 - BETA_2)
            scale = (variance / (1 - BETA_2**step)).sqrt().add(TINY)
            x_adv = threat.project(x, x_adv + self.learning_rate / (1 - BETA_1**step) * mean / scale)
            oracle.outputs(x_adv)
        return x_adv
