"""Norms as values: size, projection, steepest ascent and sampling, per image.

No attack asks which norm it has; it calls these four functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from robench.errors import ConfigError, nearest
from robench.randomness import Randomness
from robench.types import Images, PerSample


@dataclass(frozen=True, slots=True)
class Norm:
    """A norm on perturbations.

    Attributes:
        name: `Linf` or `L2`.
        size: norm of each perturbation, (B, ...) to (B,).
        project: nearest point of the ball of the given radii, (B, ...) and (B,) to (B, ...).
        ascent: unit step that raises a linear loss most (the dual norm's maximiser); zero where the gradient
            is zero.
        sample: a random point of the ball, uniform in volume.
    """

    name: str
    size: Callable[[Images], PerSample] = field(repr=False)
    project: Callable[[Images, PerSample], Images] = field(repr=False)
    ascent: Callable[[Images], Images] = field(repr=False)
    sample: Callable[[Images, PerSample, Randomness], Images] = field(repr=False)


def per_image(values: PerSample, like: Images) -> Images:
    """Reshape (B,) to (B, 1, ..., 1) so that it broadcasts against images."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _linf_size(delta: Images) -> PerSample:
    return delta.abs().flatten(1).amax(dim=1)


def _linf_project(delta: Images, eps: PerSample) -> Images:
    bound = per_image(eps, delta)
    return torch.minimum(torch.maximum(delta, -bound), bound)


def _linf_sample(like: Images, eps: PerSample, rng: Randomness) -> Images:
    return (2 * rng.uniform(like) - 1) * per_image(eps, like)


def _l2_size(delta: Images) -> PerSample:
    return delta.flatten(1).square().sum(dim=1).sqrt()


def _l2_project(delta: Images, eps: PerSample) -> Images:
    size = _l2_size(delta)
    inside = size <= eps
    factor = torch.where(inside, torch.ones_like(size), eps / size.where(~inside, torch.ones_like(size)))
    return delta * per_image(factor, delta)


def _l2_ascent(gradient: Images) -> Images:
    # Scaling by the largest entry first keeps tiny gradients from underflowing when squared.
    largest = per_image(_linf_size(gradient), gradient)
    scaled = torch.where(largest > 0, gradient / largest.where(largest > 0, torch.ones_like(largest)), 0.0)
    size = per_image(_l2_size(scaled), scaled)
    return scaled / size.where(size > 0, torch.ones_like(size))


def _l2_sample(like: Images, eps: PerSample, rng: Randomness) -> Images:
    direction = _l2_ascent(rng.normal(like))
    dimension = like[0].numel() if len(like) else 1
    radius = rng.uniform(like.new_empty(len(like), 1)).view(-1) ** (1 / dimension)
    return direction * per_image(radius * eps, like)


LINF = Norm("Linf", _linf_size, _linf_project, torch.sign, _linf_sample)
L2 = Norm("L2", _l2_size, _l2_project, _l2_ascent, _l2_sample)
NORMS = {norm.name: norm for norm in (LINF, L2)}


def norm_named(name: str) -> Norm:
    """Return the norm of that name.

    Raises:
        ConfigError: no norm has that name; the nearest are given.
    """
    if name not in NORMS:
        raise ConfigError(expected="the name of a norm", got=repr(name), do=nearest(name, NORMS))
    return NORMS[name]
