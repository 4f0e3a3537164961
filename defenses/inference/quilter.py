"""Image quilting of a batch: search a database of patches, draw among the nearest, sew them together.

Pixels are integers from 0 to 255 here, so distances between patches are exact, ties have the same result
everywhere, and an image's quilt does not depend on its batch.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from defenses.inference.transforms import Transform
from robench.data.images import ImageSet
from robench.errors import InputError
from robench.model.noise import noise_of
from robench.randomness import seed_from
from robench.types import Features, Images, NearestPoints, Points

_DISTANCES = 2_000_000
"""Most distances in memory at once."""

_EXACT = 2**24
"""Integers up to here are exact in float32."""


def draw_patches(data: ImageSet, *, side: int, count: int, least: int, seed: int) -> Points:
    """Return different patches (D, C * side * side) of training images, D at most `count`, as 0 to 255.

    Args:
        data: the training split.
        side: of a patch.
        count: patches to draw; equal ones are kept once.
        least: least number of different patches.
        seed: the only source of randomness.

    Raises:
        InputError: the images are smaller than a patch, or too few patches differ.
    """
    channels, height, width = data.shape
    if side > min(height, width):
        got = f"images of {height} x {width} pixels"
        raise InputError(where="quilting", expected=f"images of at least {side} x {side}", got=got)
    generator = torch.Generator().manual_seed(seed_from("patches", seed))
    image = torch.randint(len(data), (count, 1, 1, 1), generator=generator)
    row = torch.randint(height - side + 1, (count, 1, 1, 1), generator=generator)
    column = torch.randint(width - side + 1, (count, 1, 1, 1), generator=generator)
    # Only the images drawn become float: the whole split may be large.
    indices, position = torch.unique(image.flatten(), return_inverse=True)
    pixels = _levels(data.batch(indices)[0])
    across = torch.arange(side)
    windows = pixels[
        position[:, None, None, None],
        torch.arange(channels)[:, None, None],
        row + across[:, None],
        column + across,
    ]
    patches: Tensor = torch.unique(windows.flatten(1), dim=0)
    if len(patches) < least:
        got = f"{len(patches)} among {count} drawn"
        do = "Raise `patches` or lower `neighbours`"
        raise InputError(where="quilting", expected=f"{least} different patches", got=got, do=do)
    return patches


class Quilter(Transform):
    """Replace every patch of an image by one of its nearest in a database; see `defenses.inference.quilting`.

    Args:
        patches: the database (D, C * side * side), whole numbers from 0 to 255.
        side: of a patch.
        overlap: of neighbouring patches.
        neighbours: nearest patches to draw from.
        seed: of the choice, with the image and the draw.
    """

    def __init__(self, patches: Points, *, side: int, overlap: int, neighbours: int, seed: int) -> None:
        super().__init__()
        self.side, self.overlap, self.neighbours, self.seed = side, overlap, neighbours, seed
        self.register_buffer("patches", patches)

    def shared(self, x: Images) -> Int[Tensor, "B places k"]:
        """Return the nearest patches for each place in each image, (B, places, neighbours), nearest first."""
        rows, columns = self._starts(x.shape[2]), self._starts(x.shape[3])
        windows = _levels(x).unfold(2, self.side, 1).unfold(3, self.side, 1)
        places = windows[:, :, rows][:, :, :, columns].permute(0, 2, 3, 1, 4, 5)
        queries = places.reshape(len(x) * len(rows) * len(columns), -1)
        indices = nearest(queries, self.get_buffer("patches"), self.neighbours)
        return indices.view(len(x), len(rows) * len(columns), self.neighbours)

    def forward(self, x: Images, shared: Any = None) -> Images:
        """Return the quilts (B, C, H, W); see `Transform`."""
        near = self.shared(x) if shared is None else shared
        choice = near[:, :, 0]
        if self.neighbours > 1:
            like = torch.empty(choice.shape, device=x.device)
            uniform = noise_of(x, seed=self.seed, use="quilting").uniform(like)
            pick = (uniform * self.neighbours).long().clamp_max(self.neighbours - 1)
            choice = near.gather(2, pick[:, :, None]).squeeze(2)
        return (self._sewn(choice, x.shape) / 255).to(x.dtype)

    def _starts(self, length: int) -> list[int]:
        """Return the start positions of patches along an axis; the last patch ends at the border."""
        starts = list(range(0, length - self.side + 1, self.side - self.overlap))
        return starts if starts[-1] == length - self.side else [*starts, length - self.side]

    def _sewn(self, choice: Tensor, shape: torch.Size) -> Tensor:
        """Sew patches (B, places) in reading order, each cut along the seam of least difference."""
        count, channels, height, width = shape
        side, database = self.side, self.get_buffer("patches")
        canvas = database.new_zeros(count, channels, height, width)
        rows, columns = self._starts(height), self._starts(width)
        ends = [0] + [start + side for start in rows], [0] + [start + side for start in columns]
        for i, top in enumerate(rows):
            for j, left in enumerate(columns):
                patch = database[choice[:, i * len(columns) + j]].view(count, channels, side, side)
                place = canvas[:, :, top : top + side, left : left + side]
                differences = ((place - patch) ** 2).sum(dim=1)
                ours = torch.ones(count, side, side, dtype=torch.bool, device=canvas.device)
                across = torch.arange(side, device=canvas.device)
                if j > 0:
                    seam = cut(differences[:, :, : ends[1][j] - left])
                    ours &= across[None, None, :] >= seam[:, :, None]
                if i > 0:
                    seam = cut(differences[:, : ends[0][i] - top].transpose(1, 2))
                    ours &= across[None, :, None] >= seam[:, None, :]
                place.copy_(torch.where(ours[:, None], patch, place))
        return canvas


def nearest(queries: Features, database: Points, count: int) -> NearestPoints:
    """Return the indices (N, count) of the nearest rows of a database, nearest first, by index at a tie.

    Args:
        queries: (N, P) whole numbers from 0 to 255.
        database: (D, P) of the same.
        count: how many.
    """
    exact = database.shape[1] * 255**2 < _EXACT
    points = database if exact else database.double()
    squares = (points * points).sum(dim=1)
    order = torch.arange(len(points), device=points.device)
    indices = []
    for part in torch.split(queries.to(points.dtype), max(1, _DISTANCES // len(points))):
        # |a - b|^2 without |a|^2, which is the same for all b; integers, so that ties are exact.
        distance = torch.addmm(squares, part, points.T, alpha=-2)
        indices.append((distance.double() * len(points) + order).topk(count, largest=False).indices)
    return torch.cat(indices)


def cut(differences: Float[Tensor, "B lines overlap"]) -> Int[Tensor, "B lines"]:
    """Return the seam of least total difference, (B, length): the start of the new patch on each line.

    Efros & Freeman 2001, section 2.1: dynamic programming; from line to line the seam moves by at most one.

    Args:
        differences: (B, length, overlap), how much the two patches differ at each pixel.
    """
    length, overlap = differences.shape[1:]
    totals = [differences[:, 0]]
    for line in range(1, length):
        before = torch.nn.functional.pad(totals[-1], (1, 1), value=torch.inf)
        best = before.unfold(1, overlap, 1).amin(dim=1)
        totals.append(differences[:, line] + best)
    across = torch.arange(overlap, device=differences.device)
    seam = [totals[-1].argmin(dim=1)]
    for total in reversed(totals[:-1]):
        near = (across - seam[-1][:, None]).abs() <= 1
        seam.append(total.where(near, torch.inf).argmin(dim=1))
    return torch.stack(seam[::-1], dim=1)


def _levels(x: Images) -> Images:
    """Return pixels (B, C, H, W) as integers from 0 to 255, float32; NaN becomes 0."""
    return (x.float().nan_to_num(nan=0.0, posinf=1.0, neginf=0.0).clamp(0, 1) * 255).round()
