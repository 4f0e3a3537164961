"""Square windows at a place of its own in every image: where Square changes pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from robench.types import Images

# After these many of 10,000 queries the share of changed pixels is halved (the authors' released code).
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def area(query: int, *, queries: int, first: float, rescale: bool) -> float:
    """Return the share of pixels to change at a query: `first`, halved at each of HALVINGS that is past."""
    clock = query / queries * 10_000 if rescale else query
    return first * 0.5 ** sum(clock > moment for moment in HALVINGS)


def corners(x: Images, side: int, luck: torch.Tensor) -> torch.Tensor:
    """Return top left corners of windows of that side inside each image, (B, 2) int64.

    Args:
        x: images (B, C, H, W).
        side: of the windows, at most H and W.
        luck: (B, 2) uniform numbers in [0, 1); they give uniform corners.
    """
    room = luck.new_tensor([x.shape[2] - side + 1, x.shape[3] - side + 1])
    return (luck * room).long()


def signs(luck: torch.Tensor) -> torch.Tensor:
    """Return -1 or 1 for uniform numbers in [0, 1), with equal chances."""
    return 1 - 2 * (luck < 0.5).to(luck.dtype)


def inside(x: Images, corner: torch.Tensor, side: int) -> torch.Tensor:
    """Return where each image's window lies, (B, 1, H, W) bool."""
    row = torch.arange(x.shape[2], device=x.device) - corner[:, :1]
    column = torch.arange(x.shape[3], device=x.device) - corner[:, 1:]
    rows, columns = (row >= 0) & (row < side), (column >= 0) & (column < side)
    return (rows[:, None, :, None]) & (columns[:, None, None, :])


def place(window: Images, like: Images, corner: torch.Tensor) -> Images:
    """Return images that hold the windows (B, C, s, s) at the corners, and zero elsewhere."""
    canvas = torch.zeros_like(like).flatten(2)
    places = _places(like, corner, window.shape[3]).expand(-1, like.shape[1], -1)
    return canvas.scatter(2, places, window.flatten(2)).view(like.shape)


def cut(image: Images, corner: torch.Tensor, side: int) -> Images:
    """Return the windows of that side at the corners, (B, C, s, s)."""
    places = _places(image, corner, side).expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, places).view(len(image), image.shape[1], side, side)


@lru_cache
def bump(side: int, power: int) -> torch.Tensor:
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
    made = torch.zeros(height, width)
    for k in range(1, most + 1):
        made += (reach < k) / k**power
    return made / made.norm(p=1 if power == 4 else 2) if height else made


def _places(image: Images, corner: torch.Tensor, side: int) -> torch.Tensor:
    """Return the flat positions of each window's pixels, (B, 1, s * s)."""
    steps = torch.arange(side, device=image.device)
    row = corner[:, 0, None, None] + steps[:, None]
    column = corner[:, 1, None, None] + steps[None, :]
    return (row * image.shape[3] + column).view(len(image), 1, side * side)
