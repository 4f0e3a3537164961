"""Total-variation minimisation of a batch of images, in which some pixels are ignored.

The problem, min_z 1/2 sum_kept (z - x)^2 + weight TV(z), is solved by the primal-dual algorithm of Chambolle
& Pock 2011 (Algorithm 1, theta = 1). Every step is elementwise: an image's result does not depend on its
batch, to the last bit.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from defenses.inference.transforms import Transform
from robench.model.noise import noise_of
from robench.types import Images, PerSample

_BOUND = 8.0
"""Largest squared norm of the discrete gradient in two dimensions."""


class Inpainter(Transform):
    """Drop pixels and minimise total variation; see `defenses.inference.total_variation`.

    Args:
        weight: of the total variation.
        dropout: probability of each pixel of each channel.
        iterations: of the algorithm.
        seed: of the dropout, with the image and the draw.
    """

    def __init__(self, *, weight: float, dropout: float, iterations: int, seed: int) -> None:
        super().__init__()
        self.weight, self.dropout, self.iterations, self.seed = weight, dropout, iterations, seed

    def forward(self, x: Images, shared: Any = None) -> Images:
        """Return the smooth images (B, C, H, W); see `Transform`."""
        del shared
        mask = torch.ones_like(x)
        if self.dropout:
            uniform = noise_of(x, seed=self.seed, use="pixel dropout").uniform(x)
            mask = (uniform >= self.dropout).to(x.dtype)
        return minimise(x, mask, weight=self.weight, iterations=self.iterations).clamp(0, 1)


def minimise(x: Images, mask: Images, *, weight: float, iterations: int) -> Images:
    """Return z (B, C, H, W) that minimises `objective` approximately.

    Args:
        x: images (B, C, H, W).
        mask: 1 where a pixel counts, 0 where it was dropped, (B, C, H, W).
        weight: of the total variation; with 0 the kept pixels are returned unchanged.
        iterations: of the algorithm.
    """
    z = _start(x, mask)
    if weight == 0:
        return z
    # With a larger weight the dual variables need more steps; tested on MNIST for 0.03 and 0.3.
    primal = min(max((0.03 / weight) ** 0.5, 0.1), 3.0)
    dual = 1 / (_BOUND * primal)
    pull, shrink = primal * mask * x, 1 / (1 + primal * mask)
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    ahead = z
    for _ in range(iterations):
        by_rows, by_columns = _differences(ahead)
        down, right = down + dual * by_rows, right + dual * by_columns
        scale = (torch.sqrt(down * down + right * right) / weight).clamp_min(1)
        down, right = down / scale, right / scale
        before, z = z, (z + primal * _divergence(down, right) + pull) * shrink
        ahead = 2 * z - before
    return z


def objective(z: Images, x: Images, mask: Images, *, weight: float) -> PerSample:
    """Return 1/2 sum_kept (z - x)^2 + weight * TV(z) of each image, (B,), float64."""
    z, x = z.double(), x.double()
    down, right = _differences(z)
    variation = torch.sqrt(down * down + right * right).flatten(1).sum(dim=1)
    return (mask * (z - x) ** 2).flatten(1).sum(dim=1) / 2 + weight * variation


def _start(x: Images, mask: Tensor) -> Images:
    """Return images (B, C, H, W); a dropped pixel becomes the mean of kept neighbours, or 0.5 without any."""
    near, count = _around(x * mask), _around(mask)
    guess = torch.where(count > 0, near / count.clamp_min(1), 0.5)
    return torch.where(mask > 0, x, guess)


def _around(x: Tensor) -> Tensor:
    """Return sums (B, C, H, W) over 3 x 3 windows, with zeros beyond the border."""
    height, width = x.shape[-2:]
    canvas = F.pad(x, (1, 1, 1, 1))
    total = torch.zeros_like(x)
    for i in range(3):
        for j in range(3):
            total = total + canvas[..., i : i + height, j : j + width]
    return total


def _differences(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return forward differences (B, C, H, W) along rows and along columns; zero at the last."""
    return (
        F.pad(z[..., 1:, :] - z[..., :-1, :], (0, 0, 0, 1)),
        F.pad(z[..., :, 1:] - z[..., :, :-1], (0, 1)),
    )


def _divergence(down: Tensor, right: Tensor) -> Tensor:
    """Return the negative adjoint of `_differences`, (B, C, H, W); last row and column must be zero."""
    return down - F.pad(down[..., :-1, :], (0, 0, 1, 0)) + right - F.pad(right[..., :, :-1], (1, 0))
