"""The median filter of feature squeezing (Xu, Evans & Qi 2018, section III-B)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from defenses.inference.bpda import Transform
from robench.types import Images


class MedianFilter(Transform):
    """Replace every pixel by the median of a window around it, borders mirrored.

    A window of even side reaches one pixel farther up and left, and the upper of its two middle values is
    taken: the convention of `scipy.ndimage.median_filter`, which the paper uses.

    Args:
        side: of the window.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Images, shared: Any = None) -> Images:
        """Return filtered images; see `Transform`."""
        del shared
        rows = self._mirrored(x.shape[2], x.device)
        columns = self._mirrored(x.shape[3], x.device)
        padded = x[:, :, rows][:, :, :, columns]
        windows = padded.unfold(2, self.side, 1).unfold(3, self.side, 1).flatten(-2)
        return windows.sort(dim=-1).values[..., self.side**2 // 2]

    def _mirrored(self, length: int, device: torch.device) -> Tensor:
        """Return the places (length + side - 1,) of an axis with mirrored ends, the border pixel twice."""
        places = torch.arange(-(self.side // 2), length + (self.side - 1) // 2, device=device)
        period = places.remainder(2 * length)
        return torch.minimum(period, 2 * length - 1 - period)
