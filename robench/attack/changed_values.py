"""L0: the number of values of an image that a perturbation changes; a pixel of three channels has three.

It is not a norm, because it does not scale with a perturbation, but a threat can use it like one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.randomness import Randomness
from robench.types import FlatImages, Images, PerSample, Values


def size(delta: Values) -> PerSample:
    """Return how many entries of each perturbation (B, ...) are not zero, (B,)."""
    return (delta != 0).flatten(1).sum(dim=1).to(delta.dtype)


def project(delta: Images, eps: PerSample) -> Images:
    """Return the nearest perturbation (B, ...) of at most `eps` (B,) entries: the largest ones stay."""
    flat = delta.flatten(1)
    return flat.where(_largest(flat.abs(), eps), 0.0).view(delta.shape)


def project_boxed(delta: Images, eps: PerSample, lowest: Images, highest: Images) -> Images:
    """Return the nearest perturbation of at most `eps` (B,) entries between `lowest` and `highest` (B, ...).

    Kept entries are clipped to the box, others become zero; kept are the entries that reduce the squared
    distance most (Croce & Hein 2019, arXiv:1909.05040, section 3.1).
    """
    flat = delta.flatten(1)
    inside = flat.clamp(lowest.flatten(1), highest.flatten(1))
    savings = flat.square() - (flat - inside).square()
    return inside.where(_largest(savings, eps), 0.0).view(delta.shape)


def ascent(gradient: Images) -> Images:
    """Return one step of length 1 along the largest entry of each gradient (B, ...); zero where all are."""
    flat = gradient.flatten(1)
    return flat.sign().where(_largest(flat.abs(), flat.new_ones(len(flat))), 0.0).view(gradient.shape)


def sample(like: Images, eps: PerSample, rng: Randomness) -> Images:
    """Return a random perturbation: `eps` (B,) entries, drawn with equal chances, moved by -1 to 1 each."""
    mask = _largest(rng.uniform(like).flatten(1) + 1, eps).view(like.shape)
    return (2 * rng.uniform(like) - 1).where(mask, 0.0)


def _largest(values: FlatImages, count: PerSample) -> Tensor:
    """Tell which entries above 0 are among so many (B,) largest of their row; of equal ones the first."""
    order = values.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    return (rank < count[:, None]) & (values > 0)
