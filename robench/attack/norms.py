"""Norms as values: size, projection, steepest ascent and sampling, per image.

Most attacks do not depend on which norm they have; they call these functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robench.attack import changed_values
from robench.errors import ConfigError, nearest
from robench.randomness import Randomness
from robench.types import Column, FlatImages, Images, Mask, PerSample


@dataclass(frozen=True, slots=True)
class Norm:
    """A norm on perturbations.

    Attributes:
        name: `Linf`, `L2`, `L1` or `L0`.
        size: norm of each perturbation, (B, ...) to (B,).
        project: nearest point of the ball of the given radii, (B, ...) and (B,) to (B, ...).
        ascent: unit step that raises a linear loss most (the dual norm's maximiser); zero where the gradient
            is zero.
        sample: a random point of the ball, uniform in volume.
        project_boxed: nearest point of the ball's intersection with a box: perturbations and the lowest and
            highest values allowed (B, ...), lowest <= 0 <= highest, and radii (B,), to (B, ...). None if
            the point is projected onto the ball and then clipped: under Linf this gives the same point,
            under L2 a feasible one.

    L0 counts the values that are changed. It is not a norm: it has no largest step and no volume, so its
    ascent changes one value by 1, and its samples draw which values to change, and how.
    """

    name: str
    size: Callable[[Images], PerSample] = field(repr=False)
    project: Callable[[Images, PerSample], Images] = field(repr=False)
    ascent: Callable[[Images], Images] = field(repr=False)
    sample: Callable[[Images, PerSample, Randomness], Images] = field(repr=False)
    project_boxed: Callable[[Images, PerSample, Images, Images], Images] | None = field(
        repr=False, default=None
    )


def per_image(values: PerSample | Mask, like: Tensor) -> Tensor:
    """Reshape (B,) to (B, 1, ..., 1) so that it broadcasts against images."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _linf_size(delta: Tensor) -> PerSample:
    return delta.abs().flatten(1).amax(dim=1)


def _linf_project(delta: Images, eps: PerSample) -> Images:
    bound = per_image(eps, delta)
    return torch.minimum(torch.maximum(delta, -bound), bound)


def _linf_sample(like: Images, eps: PerSample, rng: Randomness) -> Images:
    return per_image(eps, like) * (2 * rng.uniform(like) - 1)


def _l2_size(delta: Tensor) -> PerSample:
    return delta.flatten(1).square().sum(dim=1).sqrt()


def _l2_project(delta: Images, eps: PerSample) -> Images:
    size = _l2_size(delta)
    inside = size <= eps
    factor = torch.where(inside, torch.ones_like(size), eps / size.where(~inside, torch.ones_like(size)))
    return delta * per_image(factor, delta)


def _l2_ascent(gradient: Images) -> Images:
    # Scaling by the largest entry first keeps tiny gradients from underflowing when squared.
    largest = per_image(_linf_size(gradient), gradient)
    direction = torch.where(largest > 0, gradient / largest.where(largest > 0, torch.ones_like(largest)), 0.0)
    size = per_image(_l2_size(direction), direction)
    return direction / size.where(size > 0, torch.ones_like(size))


def _l2_sample(like: Images, eps: PerSample, rng: Randomness) -> Images:
    direction = _l2_ascent(rng.normal(like))
    dimension = like[0].numel() if len(like) else 1
    radius = rng.uniform(like.new_empty(len(like), 1)).view(-1) ** (1 / dimension)
    return direction * per_image(radius * eps, like)


def _l1_size(delta: Tensor) -> PerSample:
    return delta.abs().flatten(1).sum(dim=1)


def _l1_project(delta: Images, eps: PerSample) -> Images:
    everywhere = torch.full_like(delta, torch.inf)
    return _l1_project_boxed(delta, eps, -everywhere, everywhere)


def _l1_project_boxed(delta: Images, eps: PerSample, lowest: Images, highest: Images) -> Images:
    """Return the nearest point of ball and box: each entry is reduced by one threshold, then cut at its cap.

    Croce & Hein 2021 (arXiv:2103.01208), Proposition 2.1; without caps Duchi et al. 2008, Figure 1.
    """
    flat = delta.flatten(1).double()
    caps = torch.where(flat > 0, highest.flatten(1).double(), -lowest.flatten(1).double())
    radius = eps.double()[:, None]
    threshold = _threshold(flat.abs(), caps, radius)
    size = torch.minimum((flat.abs() - threshold).clamp_min(0), caps)
    total = size.sum(dim=1, keepdim=True)
    size = size * torch.where(total > radius, radius / total.where(total > 0, 1.0), 1.0)  # rounding only
    return torch.copysign(size, flat).to(delta.dtype).view(delta.shape)


def _threshold(size: FlatImages, caps: FlatImages, radius: Column) -> Column:
    """Return the smallest t >= 0 with sum_i min(max(size_i - t, 0), caps_i) <= radius, (B, 1), float64.

    The sum grows linearly as t falls between two knots: entry i starts to count at size_i, stops growing at
    size_i - caps_i.
    """
    if size.shape[1] == 0 or len(size) == 0:
        return torch.zeros_like(radius)
    knots, order = torch.cat([size, (size - caps).clamp_min(0)], dim=1).sort(dim=1, descending=True)
    growing = torch.where(order < size.shape[1], 1, -1).cumsum(dim=1)
    following = torch.cat([knots[:, 1:], torch.zeros_like(radius)], dim=1)
    total = (growing * (knots - following)).cumsum(dim=1)  # at the following knot
    crossing = torch.searchsorted(total, radius).clamp_max(total.shape[1] - 1)
    excess = total.gather(1, crossing) - radius
    threshold = following.gather(1, crossing) + excess / growing.gather(1, crossing).clamp_min(1)
    inside = total[:, -1:] <= radius * (1 + 1e-13)  # the precision of sums in float64
    return torch.where(inside, 0.0, threshold)


def _l1_ascent(gradient: Images) -> Images:
    flat = gradient.flatten(1)
    step = torch.zeros_like(flat)
    if flat.numel():
        steepest = flat.abs().argmax(dim=1, keepdim=True)
        step.scatter_(1, steepest, flat.gather(1, steepest).sign())
    return step.view(gradient.shape)


def _l1_sample(like: Images, eps: PerSample, rng: Randomness) -> Images:
    # Exponential variables over their sum, one more than there are entries, are uniform on the simplex.
    size = -torch.log1p(-rng.uniform(like))
    rest = -torch.log1p(-rng.uniform(like.new_empty(len(like), 1)))
    total = size.flatten(1).sum(dim=1) + rest.squeeze(1)
    sign = 1 - 2 * (rng.uniform(like) < 0.5).to(like.dtype)
    return sign * size * per_image(eps / total, like)


LINF = Norm("Linf", _linf_size, _linf_project, torch.sign, _linf_sample)
L2 = Norm("L2", _l2_size, _l2_project, _l2_ascent, _l2_sample)
L1 = Norm("L1", _l1_size, _l1_project, _l1_ascent, _l1_sample, _l1_project_boxed)
L0 = Norm(
    "L0",
    changed_values.size,
    changed_values.project,
    changed_values.ascent,
    changed_values.sample,
    changed_values.project_boxed,
)
NORMS = {norm.name: norm for norm in (LINF, L2, L1, L0)}


def norm_named(name: str) -> Norm:
    """Return the norm of that name.

    Raises:
        ConfigError: no norm has that name; the nearest are given.
    """
    if name not in NORMS:
        raise ConfigError(expected="the name of a norm", got=repr(name), do=nearest(str(name), NORMS))
    return NORMS[name]
