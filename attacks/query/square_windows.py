"""The proposals of Square: where it starts, and how one window of each image changes, under each norm.

Randomness comes as uniform numbers in [0, 1) per image, drawn for many queries at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robench.attack.norms import L1, per_image
from robench.types import SameShape

if TYPE_CHECKING:
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images

# After these many of 10,000 queries the share of changed pixels is halved (the authors' released code).
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)

SMALLEST = 3  # side of the smallest bump; a single pixel has no positive and negative half
TILES = 5  # bumps along a side at the start


def area(query: int, *, queries: int, first: float, rescale: bool) -> float:
    """Return the share of pixels to change at a query: `first`, halved at each of HALVINGS that is past."""
    clock = query / queries * 10_000 if rescale else query
    return first * 0.5 ** sum(clock > moment for moment in HALVINGS)


def stripes(x: Images, threat: ThreatModel, rng: Randomness) -> Images:
    """Return x with columns of -eps or eps, each channel its own (arXiv:1912.00049, section 3.2)."""
    return threat.project(x, x + threat.eps * signs(rng.uniform(x[:, :, :1])))


def numbers(x: Images) -> int:
    """Return how many uniform numbers a proposal takes for each image: two corners, a turn, and the signs."""
    return 5 + x.shape[1]


def paint(
    x: Images, best: Images, side: int, threat: ThreatModel, uniform: Float[Tensor, "B numbers"]
) -> Images:
    """Return the best points with one window painted -eps or eps, each channel its own (Algorithm 2).

    Args:
        x: clean images (B, C, H, W).
        best: the best points so far.
        side: of the window.
        threat: radius and box.
        uniform: (B, numbers(x)).
    """
    window = inside(x, corners(x, side, uniform[:, :2]), side)
    sign = signs(uniform[:, 5:, None, None])
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


def move_mass(
    x: Images, best: Images, side: int, threat: ThreatModel, uniform: Float[Tensor, "B numbers"]
) -> Images:
    """Return the best points with the perturbation of one window moved into another (Algorithm 3).

    The other window gets its old direction plus a bump, and all the size that both windows had and the ball
    has left, each channel its own. The arguments are those of `paint`.
    """
    side = min(max(side, SMALLEST) | 1, *x.shape[2:])
    delta = best - x
    into, out_of = corners(x, side, uniform[:, :2]), corners(x, side, uniform[:, 2:4])
    there = inside(x, into, side)
    windows_mask = there | inside(x, out_of, side)
    old = cut(delta, into, side)
    sign = signs(uniform[:, 5:, None, None])
    new = _unit(old, threat) + sign * _turned(side, uniform[:, 4:5], threat)
    norm_now, channels = per_image(threat.norm.size(delta), x), x.shape[1]
    windows = _size(delta * windows_mask, threat)
    if threat.norm is L1:
        size = (threat.eps - norm_now).clamp_min(0) / channels + windows
    else:
        size = ((threat.eps**2 - norm_now.square()).clamp_min(0) / channels + windows.square()).sqrt()
    delta = delta.where(~windows_mask, 0.0) + place(_unit(new, threat) * size, x, into)
    return _on_the_sphere(x, delta, threat)


def corners(x: Images, side: int, uniform: Float[Tensor, "B 2"]) -> Int[Tensor, "B 2"]:
    """Return top left corners of windows of that side inside each image, (B, 2) int64.

    Args:
        x: images (B, C, H, W).
        side: of the windows, at most H and W.
        uniform: (B, 2) uniform numbers in [0, 1); they give uniform corners.
    """
    room = uniform.new_tensor([x.shape[2] - side + 1, x.shape[3] - side + 1])
    return (uniform * room).long()


def signs(uniform: SameShape) -> SameShape:
    """Return -1 or 1 for uniform numbers in [0, 1), with equal chances."""
    return 1 - 2 * (uniform < 0.5).to(uniform.dtype)


def inside(x: Images, corner: Int[Tensor, "B 2"], side: int) -> Bool[Tensor, "B 1 H W"]:
    """Return where each image's window lies, (B, 1, H, W) bool."""
    row = torch.arange(x.shape[2], device=x.device) - corner[:, :1]
    column = torch.arange(x.shape[3], device=x.device) - corner[:, 1:]
    rows, columns = (row >= 0) & (row < side), (column >= 0) & (column < side)
    return (rows[:, None, :, None]) & (columns[:, None, None, :])


def place(window: Float[Tensor, "B C side side"], like: Images, corner: Int[Tensor, "B 2"]) -> Images:
    """Return images that hold the windows (B, C, s, s) at the corners, and zero elsewhere."""
    canvas = torch.zeros_like(like).flatten(2)
    places = _places(like, corner, window.shape[3]).expand(-1, like.shape[1], -1)
    return canvas.scatter(2, places, window.flatten(2)).view(like.shape)


def cut(image: Images, corner: Int[Tensor, "B 2"], side: int) -> Float[Tensor, "B C side side"]:
    """Return the windows of that side at the corners, (B, C, s, s)."""
    places = _places(image, corner, side).expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, places).view(len(image), image.shape[1], side, side)


@lru_cache
def bump(side: int, power: int) -> Float[Tensor, "side side"]:
    """Return Square's update of one window, (s, s): a positive bump beside a negative one of the same size.

    Andriushchenko et al. 2020 (arXiv:1912.00049), Eq. 2 and Figure 3.

    Args:
        side: of the window.
        power: how steep the bumps are: 2 under L2, 4 under L1 (the authors' released code).
    """
    half = side // 2
    return torch.cat([_pyramid(half, side, power), -_pyramid(side - half, side, power)])


def _pyramid(height: int, width: int, power: int) -> torch.Tensor:
    """Return nested rectangles around the middle, each adding 1 / k^power, scaled to norm 1."""
    row, column = height // 2, width // 2
    down = (torch.arange(height) - row).abs()[:, None]
    across = (torch.arange(width) - column).abs()[None, :]
    reach, most = torch.maximum(down, across), max(row, column) + 1
    pyramid = torch.zeros(height, width)
    for k in range(1, most + 1):
        pyramid += (reach < k) / k**power
    return pyramid / pyramid.norm(p=1 if power == 4 else 2) if height else pyramid


def _places(image: Images, corner: torch.Tensor, side: int) -> torch.Tensor:
    """Return the flat positions of each window's pixels, (B, 1, s * s)."""
    steps = torch.arange(side, device=image.device)
    row = corner[:, 0, None, None] + steps[:, None]
    column = corner[:, 1, None, None] + steps[None, :]
    return (row * image.shape[3] + column).view(len(image), 1, side * side)


def _turned(side: int, uniform: torch.Tensor, threat: ThreatModel) -> torch.Tensor:
    """Return bumps of norm 1, lying or upright: the shape of the uniform numbers plus (s, s)."""
    window = bump(side, 4 if threat.norm is L1 else 2).to(uniform)
    window = window / threat.norm.size(window[None])
    return torch.where((uniform < 0.5)[..., None, None], window, window.T)


def _on_the_sphere(x: Images, delta: Images, threat: ThreatModel) -> Images:
    """Return x plus a perturbation as long as the radius, or its projection on ball and box under L1."""
    if threat.norm is L1:
        return threat.project(x, x + delta)
    size = per_image(threat.norm.size(delta), x)
    return threat.project(x, x + delta * (threat.eps / size.where(size > 0, 1.0)))


def _size(window: torch.Tensor, threat: ThreatModel) -> torch.Tensor:
    """Return the norm of each channel, (B, C, 1, 1)."""
    return threat.norm.size(window.flatten(0, 1)).view(*window.shape[:2], 1, 1)


def _unit(window: Images, threat: ThreatModel) -> Images:
    """Return each channel scaled to norm 1; a channel of zeros stays."""
    size = _size(window, threat)
    return window / size.where(size > 0, 1.0)
