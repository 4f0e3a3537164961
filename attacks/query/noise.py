"""Noise: random points of the ball, the control that every real attack must beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, finite_radius
from robench.attack.protocol import AttackInfo, Knowledge
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images


def corner(x: Images, threat: ThreatModel, rng: Randomness) -> Images:
    """Return a random extreme point around each image, clipped to the box, (B, C, H, W).

    The steepest step for a random normal gradient, with the radius as its length: uniform among the corners
    of the cube under Linf and of the cross-polytope under L1, and on the sphere under L2. Under L0 the radius
    is the number of values that are set to a random bound of the box.
    """
    import torch

    from robench.attack.norms import L0

    if threat.norm is L0:
        low, high = threat.bounds
        ends = threat.sample(x, rng)
        return x.where(ends == x, torch.where(ends > x, high, low))
    return threat.clip(x + threat.eps * threat.norm.ascent(rng.normal(x)))


def coarse_noise(x: Images, number: int, rng: Randomness, threat: ThreatModel) -> Images:
    """Return a random image for each image, (B, C, H, W), independent of it, anywhere in the box.

    Many networks give all uniform noise the same class. So the noise consists of squares. Their side doubles
    with each number until one square covers the image, then a new round starts at 1; in every second round
    all values are at the box's bounds.
    """
    height, width = x.shape[-2:]
    rounds, level = divmod(number, int(math.log2(min(height, width))) + 1)
    side = 2**level
    noise = rng.uniform(x.new_empty(*x.shape[:2], -(-height // side), -(-width // side)))
    noise = noise.round() if rounds % 2 else noise
    noise = noise.repeat_interleave(side, dim=-2).repeat_interleave(side, dim=-1)[..., :height, :width]
    low, high = threat.bounds
    return threat.clip(low + (high - low) * noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Random points of the ball and of its corners, in turn, until one breaks the image.

    A control, not an attack: an image that noise breaks was never robust, and an attack that breaks less than
    noise does not work (Carlini et al. 2019, section 4.10). Uses only predicted labels.

    Attributes:
        points: how many points are tried for each image, each one forward pass.
        corners: try a point of the ball's surface (a corner under Linf) every other time.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.noise:Noise",
        title="Random noise",
        paper="Carlini et al. 2019, arXiv:1902.06705, section 4.10",
        bibtex=paper("carlini2019evaluating"),
        norms=("Linf", "L2", "L1", "L0"),
        knowledge=Knowledge.DECISION,
        randomised=True,
        control=True,
        own_source="labels",
    )
    points: int = 100
    corners: bool = True

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, points=self.points)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the last point; the oracle keeps the first that broke; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        x, threat = oracle.x, oracle.threat
        finite_radius(threat.eps, "noise")
        point = x
        for number in range(self.points):
            if oracle.finished:
                break
            on_corner = self.corners and number % 2 == 1
            point = corner(x, threat, rng) if on_corner else threat.sample(x, rng)
            oracle.successful(point)
        return point
