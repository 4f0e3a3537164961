"""Do pixels matter although their gradient is exactly zero?

A network that detaches a part of the image, or of what it computes from it, has a true gradient for the
rest: along that gradient everything agrees, and yet an attack is told that the other pixels do not matter. So
pixels without a gradient are moved by very little at random, and the change of the margin is compared with
that of as small moves of the others.
"""

from __future__ import annotations

import torch

from robench.attack.losses import score_margin
from robench.judge.edge_probe import RANGE
from robench.judge.gradient_probes import visited
from robench.model.interface import Coupling, GradientSource, Model
from robench.plurals import counted
from robench.record.schema import Finding
from robench.types import Images, Labels, Mask, PerSample

IMAGES = 16
DRAWS = 8

LEAST = 0.01
"""Share of pixels without a gradient (mean) below which nothing is asked."""

SMALL = 1e-4
"""How far pixels are moved, in units of the box."""

MUCH = 0.15
"""Share of the change that is due to pixels without a gradient, from which a finding is raised. It was 0.00
for networks that crop, clamp or rectify their images or take medians of them, 0.34 where three of 28 rows
were detached, and 0.46 where half of them were."""

ROUNDING = 16
"""Changes of the margin below so many roundings of the scores are no changes."""


def hidden_pixels(model: Model, x: Images, y: Labels) -> Finding | None:
    """Compare moves of pixels with and without a gradient.

    Args:
        model: in evaluation mode; its first gradient source is used.
        x: images (B, C, H, W) it gets right, at least one; the first ones are used.
        y: their labels (B,).

    Returns:
        `wrong-gradient` if moves of pixels without a gradient make `MUCH` or more of the change (median over
        images). None if the result would be random (a model that draws noise), or for a joint model.
    """
    if model.coupling is Coupling.JOINT or model.random:
        return None
    x, y = x[:IMAGES], y[:IMAGES]
    low, high = model.bounds
    source = next(iter(model.sources.values()))
    draw = torch.Generator().manual_seed(0)
    # Inside the box and apart from each other: where pixels are equal, a maximum or a median has no gradient.
    noise = torch.rand(x.shape, generator=draw).to(x)
    start = low + (1 - 2 * RANGE) * (x - low) + RANGE * (high - low) * (0.5 + noise)
    _, before, gradient = visited(lambda at: _margin(source, at, y), start)
    mask: Mask = gradient == 0
    is_partly = ~mask.flatten(1).all(dim=1)
    if float(mask.double().mean()) < LEAST or not bool(is_partly.any()):
        return None
    by_hidden, by_others = torch.zeros_like(before), torch.zeros_like(before)

    @torch.no_grad()
    def change(move: Images) -> PerSample:
        return (_margin(source, (start + move).clamp(low, high), y).double() - before).abs()

    for _ in range(DRAWS):
        signs = (2.0 * torch.randint(2, x.shape, generator=draw) - 1).to(x)
        move = SMALL * (high - low) * signs
        by_hidden += change(move * mask) / DRAWS
        by_others += change(move * ~mask) / DRAWS
    rounding = ROUNDING * _rounding(model, start) * before.abs().clamp_min(1.0)
    is_seen = is_partly & (by_others > rounding)
    if not bool(is_seen.any()):
        return None
    by_hidden = by_hidden.where(by_hidden > rounding, 0.0)
    share = float((by_hidden / (by_hidden + by_others))[is_seen].median())
    if share < MUCH:
        return None
    return Finding(
        code="wrong-gradient",
        evidence=f"{float(mask.double().mean()):.0%} of the pixels have a gradient of exactly zero, and "
        f"yet small moves of these make {share:.0%} of the change that small moves of all make (median of "
        f"{counted(int(is_seen.sum()), 'image')}): an attack is told that they do not matter",
        remedy="Look for `detach`, `no_grad`, numpy or a clamp between the images and the scores; or give a "
        "gradient source that passes it (BPDA), or attack without gradients",
    )


def _margin(source: GradientSource, at: Images, y: Labels) -> PerSample:
    surrogate, _ = source.surrogate(at)
    return score_margin(surrogate, y, source.output)


def _rounding(model: Model, x: Images) -> float:
    """Return the relative rounding of the model's scores: of the coarsest type among its weights."""
    kinds = {p.dtype for p in model.net.parameters() if p.is_floating_point()} | {x.dtype}
    return max(torch.finfo(kind).eps for kind in kinds)
