"""Interval bounds (Gowal et al. 2018, arXiv:1810.12715, section 3), rounded outwards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robench.bounds.graph import Node
from robench.bounds.rectifier import Rectifier
from robench.bounds.rounding import UNIT, gamma
from robench.types import PerSample, Values

Interval = tuple[Tensor, Tensor]
"""Lowest and highest values (B, ...) of a node."""


def interval_of(node: Node, inputs: Sequence[Interval], shapes: Sequence[tuple[int, ...]]) -> Interval:
    """Return lowest and highest values of a node from those of its inputs, in float64."""
    if isinstance(node.step, Rectifier):
        ((low, high),) = inputs
        if not node.step.slope:
            return low.clamp_min(0), high.clamp_min(0)
        slack = 2 * UNIT * node.step.slope
        return node.step.value(low) - slack * low.abs(), node.step.value(high) + slack * high.abs()
    step = node.affine
    middles = [(low + high) / 2 for low, high in inputs]
    radii = [
        torch.maximum(high - middle, middle - low) * (1 + 4 * UNIT)
        for (low, high), middle in zip(inputs, middles, strict=True)
    ]
    middle, radius = step.value(*middles), step.spread(*radii)
    margin = per_image(magnitude(node, inputs) * gamma(step.terms(shapes, node.shape)), middle)
    low, high = middle - radius - margin, middle + radius + margin
    # Where numbers overflow, nothing is known.
    return torch.where(low.isfinite(), low, -torch.inf), torch.where(high.isfinite(), high, torch.inf)


def magnitude(node: Node, inputs: Sequence[Interval]) -> PerSample:
    """Return the largest |W||x| + |b| of an affine node for each image, (B,)."""
    sizes = [torch.maximum(low.abs(), high.abs()) for low, high in inputs]
    spread = node.affine.spread(*sizes).flatten(1).amax(dim=1)
    size = torch.stack([s.flatten(1).amax(dim=1) for s in sizes]).amax(dim=0)
    return torch.maximum(spread, size) * (1 + 1e-6) + node.affine.constant()


def per_image(values: PerSample, like: Values) -> Values:
    """Reshape (B,) to (B, 1, ..., 1)."""
    return values.view(-1, *[1] * (like.ndim - 1))
