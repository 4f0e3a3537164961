"""The threat model: what the attacker wants, may change, and may know. It is stored with every result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import torch

from robench.attack.norms import L0, LINF, Norm
from robench.errors import ConfigError
from robench.plan.knowledge import in_order
from robench.plan.radius import WHOLE, radius
from robench.plan.spec import KNOWN
from robench.randomness import Randomness
from robench.types import Images, Labels, Mask


class Goal(StrEnum):
    """Any wrong class, or one chosen class."""

    UNTARGETED = "untargeted"
    TARGETED = "targeted"


def targets_of(y: Labels, classes: int) -> Labels:
    """Return the target class of each image under a targeted goal: the one after its true class."""
    return (y + 1) % classes


def targets_under(goal: Goal, y: Labels, classes: int) -> Labels | None:
    """Return the target classes (B,) of images with labels y (B,); None if the goal is untargeted."""
    return targets_of(y, classes) if goal is Goal.TARGETED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreatModel:
    """Norm, radius, box, goal, knowledge and budget (Carlini et al. 2019, section 2.2).

    Attributes:
        norm: how a perturbation is measured.
        eps: its largest size in input units, a number or text such as `8/255`; under L0 a whole number of
            values; `inf` asks for the smallest perturbation.
        bounds: the box that images live in.
        goal: untargeted or targeted.
        knowledge: what the attacker knows beside the model's answers: some of `weights`, `template` and
            `randomness`; nothing if not the weights. `robench.attack.visibility` enforces it.
        budget: most forwards plus backwards an attacker may spend on one image; None for no limit.

    Raises:
        ConfigError: eps is negative or not a number, or not a whole number under L0, the bounds are empty,
            the knowledge is unknown, or the budget is below 1.
    """

    norm: Norm = LINF
    eps: float
    bounds: tuple[float, float] = (0.0, 1.0)
    goal: Goal = Goal.UNTARGETED
    knowledge: tuple[str, ...] = KNOWN
    budget: int | None = None
    # Rounding of x + delta in float32 changes a distance by at most about 1e-7 per pixel.
    tolerance: float = field(default=1e-6, repr=False)

    def __post_init__(self) -> None:
        """Refuse an invalid radius or box."""
        object.__setattr__(self, "eps", radius(self.eps)[0])
        if self.norm is L0 and self.bounded and self.eps != int(self.eps):
            raise ConfigError(where="eps", expected=WHOLE, got=repr(self.eps))
        if not self.bounds[0] < self.bounds[1]:
            raise ConfigError(where="bounds", expected="lower < upper", got=repr(self.bounds))
        object.__setattr__(self, "knowledge", in_order(self.knowledge))
        if self.budget is not None and self.budget < 1:
            expected = "a budget of at least one pass, or None for no limit"
            raise ConfigError(where="budget", expected=expected, got=repr(self.budget))

    @property
    def bounded(self) -> bool:
        """Whether the radius is finite."""
        return math.isfinite(self.eps)

    def sample(self, x: Images, rng: Randomness) -> Images:
        """Return a random point around each image: uniform in the ball, then clipped to the box."""
        if not self.bounded:
            raise ConfigError(where="eps", expected="a finite radius for a random start", got="inf")
        radius = x.new_full((len(x),), self.eps)
        return self.clip(x + self.norm.sample(x, radius, rng))

    def project(self, x: Images, x_adv: Images) -> Images:
        """Return the projection of `x_adv` onto the ball around x, clipped to the box.

        Clipping moves each pixel towards x, which lies in the box, so the point stays in the ball. Under L1
        clipping would lose most of the radius, so the point of ball and box nearest to `x_adv` is computed in
        float64 and rounded towards x, because rounding errors add up over pixels.
        """
        if not self.bounded:
            return self.clip(x_adv)
        radius = x.new_full((len(x),), self.eps)
        if self.norm.project_boxed is None:
            return self.clip(x + self.norm.project(x_adv - x, radius))
        exact, (low, high) = x.double(), self.bounds
        delta = x_adv.double() - exact
        delta = self.norm.project_boxed(delta, radius.double(), low - exact, high - exact)
        point = self.clip((exact + delta).to(x.dtype))
        beyond = (point.double() - exact).abs() > delta.abs()
        return torch.where(beyond, torch.nextafter(point, x), point)

    def clip(self, x: Images) -> Images:
        """Clip to the box."""
        return x.clamp(*self.bounds)

    def admits(self, x: Images, x_adv: Images) -> Mask:
        """Tell which points are finite, in the box and in the ball, measured in float64."""
        delta = x_adv.double() - x.double()
        low, high = self.bounds
        flat = x_adv.flatten(1)
        finite = torch.isfinite(flat).all(dim=1)
        inside = ((flat >= low) & (flat <= high)).all(dim=1)
        near = self.norm.size(delta) <= self.eps * (1 + self.tolerance) + self.tolerance
        return finite & inside & near

    def spec(self) -> dict[str, object]:
        """Return plain JSON data; an infinite radius is the text `inf`."""
        return {
            "norm": self.norm.name,
            "eps": self.eps if self.bounded else "inf",
            "bounds": list(self.bounds),
            "goal": str(self.goal),
            "knowledge": list(self.knowledge),
            "budget": self.budget,
        }
