"""The images that the judge admits, in float64: its box is compared in float32, its ball has a tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from robench.attack.threat import ThreatModel
from robench.bounds.rounding import UNIT, gamma
from robench.errors import ConfigError

_SINGLE = 2.0**-24
"""Largest relative error of one operation in float32."""


def outer_box(threat: ThreatModel) -> tuple[float, float]:
    """Return the smallest box with all images a threat model admits: its bounds are compared in float32.

    Raises:
        ConfigError: the box is not finite.
    """
    ends = [float(torch.tensor(end, dtype=torch.float32)) for end in threat.bounds]
    if not all(map(math.isfinite, ends)):
        raise ConfigError(where="bounds", expected="a finite box for a bound", got=repr(threat.bounds))
    return min(ends[0], threat.bounds[0]), max(ends[1], threat.bounds[1])


def diameter(threat: ThreatModel, shape: Sequence[int]) -> float:
    """Return the largest distance between two images (C, H, W) in the box, rounded up.

    Raises:
        ConfigError: the box is not finite, or the norm is none of Linf, L2 and L1.
    """
    low, high = outer_box(threat)
    count = math.prod(shape)
    spread = {"Linf": 1.0, "L2": math.sqrt(count), "L1": float(count)}.get(threat.norm.name)
    if spread is None:
        raise ConfigError(where="norm", expected="Linf, L2 or L1 for a bound", got=repr(threat.norm.name))
    return (high - low) * spread * (1 + 16 * UNIT)


def capped(threat: ThreatModel, shape: Sequence[int]) -> ThreatModel:
    """Return a threat model whose radius is at most the diameter of the box.

    Raises:
        ConfigError: the radius or the box is not finite, or the norm is none of Linf, L2 and L1.
    """
    if not math.isfinite(threat.eps):
        raise ConfigError(where="eps", expected="a finite radius for a bound", got=repr(threat.eps))
    return replace(threat, eps=min(threat.eps, diameter(threat, shape)))


def searched(threat: ThreatModel, shape: Sequence[int]) -> ThreatModel:
    """Return a threat model whose projections in float32 are all admissible under `threat`.

    Raises:
        ConfigError: the radius or the box is not finite, or the norm is none of Linf, L2 and L1.
    """
    near = capped(threat, shape)
    outer, reach = _radii(near, shape)
    return replace(near, eps=max(0.0, near.eps - max(0.0, reach - outer)))


def _radii(threat: ThreatModel, shape: Sequence[int]) -> tuple[float, float]:
    """Return the largest distance of images that the judge admits, and of images that it projects in float32.

    A projection rounds each pixel, and under L2 also the factor. L1 rounds towards the image.
    """
    eps, size = threat.eps, max(map(abs, outer_box(threat))) + threat.eps
    roundings = {"Linf": 1.0, "L2": math.sqrt(math.prod(shape)), "L1": 0.0}[threat.norm.name]
    factor = 8.0 if threat.norm.name == "L2" else 1.0
    outer = eps * (1 + threat.tolerance) + threat.tolerance
    return outer, eps * (1 + factor * _SINGLE) + roundings * _SINGLE * size


def admissible_radius(threat: ThreatModel, shape: Sequence[int]) -> float:
    """Return a radius that contains every image the judge admits, or projects to, around images (C, H, W)."""
    most = max(_radii(capped(threat, shape), shape)) * (1 + gamma(math.prod(shape)))
    return min(most, diameter(threat, shape))
