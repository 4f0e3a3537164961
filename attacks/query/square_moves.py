"""The proposals of Square: where it starts, and how one window changes, under each norm.

Chance comes as `luck`, uniform numbers in [0, 1) per image, drawn for many queries at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from attacks.query.square_windows import bump, corners, cut, inside, place, signs
from robench.attack.norms import L1, per_image

if TYPE_CHECKING:
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images

SMALLEST = 3  # side of the smallest bump; a single pixel has no positive and negative half
TILES = 5  # bumps along a side at the start


def stripes(x: Images, threat: ThreatModel, rng: Randomness) -> Images:
    """Return x with columns of -eps or eps, each channel its own (arXiv:1912.00049, section 3.2)."""
    return threat.project(x, x + threat.eps * signs(rng.uniform(x[:, :, :1])))


def numbers(x: Images) -> int:
    """Return how many uniform numbers a proposal takes for each image: two corners, a turn, and the signs."""
    return 5 + x.shape[1]


def paint(x: Images, best: Images, side: int, threat: ThreatModel, luck: torch.Tensor) -> Images:
    """Return the best points with one window painted -eps or eps, each channel its own (Algorithm 2).

    Args:
        x: clean images (B, C, H, W).
        best: the best points so far.
        side: of the window.
        threat: radius and box.
        luck: (B, numbers(x)).
    """
    window = inside(x, corners(x, side, luck[:, :2]), side)
    sign = signs(luck[:, 5:, None, None])
    return threat.project(x, best + 2 * threat.eps * sign * window)


def bumps_everywhere(x: Images, threat: ThreatModel, rng: Randomness) -> Images:
    """Return x with a grid of bumps of random sign and direction, as long as the radius (section 3.3)."""
    count, channels, height, width = x.shape
    side = max(min(height, width) // TILES, 1)
    rows, columns = height // side, width // side
    sign = signs(rng.uniform(x.new_empty(count, channels, rows, columns)))
    turn = rng.uniform(x.new_empty(count, 1, rows, columns))
    tiles = _turned(side, turn, threat) * sign[..., None, None]
    grid = tiles.permute(0, 1, 2, 4, 3, 5).reshape(count, channels, rows * side, columns * side)
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    delta = torch.zeros_like(x)
    delta[:, :, top : top + rows * side, left : left + columns * side] = grid
    return _on_the_sphere(x, delta, threat)


def move_mass(x: Images, best: Images, side: int, threat: ThreatModel, luck: torch.Tensor) -> Images:
    """Return the best points with the perturbation of one window moved into another (Algorithm 3).

    The other window gets its old direction plus a bump, and all the size that both windows had and the ball
    has left, each channel its own. The arguments are those of `paint`.
    """
    side = min(max(side, SMALLEST) | 1, *x.shape[2:])
    delta = best - x
    into, out_of = corners(x, side, luck[:, :2]), corners(x, side, luck[:, 2:4])
    there = inside(x, into, side)
    touched = there | inside(x, out_of, side)
    old = cut(delta, into, side)
    sign = signs(luck[:, 5:, None, None])
    new = _unit(old, threat) + sign * _turned(side, luck[:, 4:5], threat)
    unused, channels = per_image(threat.norm.size(delta), x), x.shape[1]
    windows = _size(delta * touched, threat)
    if threat.norm is L1:
        size = (threat.eps - unused).clamp_min(0) / channels + windows
    else:
        size = ((threat.eps**2 - unused.square()).clamp_min(0) / channels + windows.square()).sqrt()
    delta = delta.where(~touched, 0.0) + place(_unit(new, threat) * size, x, into)
    return _on_the_sphere(x, delta, threat)


def _turned(side: int, luck: torch.Tensor, threat: ThreatModel) -> Images:
    """Return bumps of norm 1, lying or standing: the shape of the uniform numbers plus (s, s)."""
    made = bump(side, 4 if threat.norm is L1 else 2).to(luck)
    made = made / threat.norm.size(made[None])
    return torch.where((luck < 0.5)[..., None, None], made, made.T)


def _on_the_sphere(x: Images, delta: Images, threat: ThreatModel) -> Images:
    """Return x plus a perturbation as long as the radius, or its projection on ball and box under L1."""
    if threat.norm is L1:
        return threat.project(x, x + delta)
    size = per_image(threat.norm.size(delta), x)
    return threat.project(x, x + delta * (threat.eps / size.where(size > 0, 1.0)))


def _size(window: Images, threat: ThreatModel) -> Images:
    """Return the norm of each channel, (B, C, 1, 1)."""
    return threat.norm.size(window.flatten(0, 1)).view(*window.shape[:2], 1, 1)


def _unit(window: Images, threat: ThreatModel) -> Images:
    """Return each channel scaled to norm 1; a channel of zeros stays."""
    size = _size(window, threat)
    return window / size.where(size > 0, 1.0)
