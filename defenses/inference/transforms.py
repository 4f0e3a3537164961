"""Transforms of images: the base class, and those without noise (rounding, JPEG, the median filter)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from robench.types import Images


class Transform(nn.Module):
    """Images to images of the same shape, in [0, 1]; noise, if any, is that of `robench.model.noise`."""

    def shared(self, x: Images) -> Any:
        """Return data that all draws of noise on images (B, C, H, W) share; None if there is nothing."""
        del x

    def forward(self, x: Images, shared: Any = None) -> Images:
        """Transform images (B, C, H, W) in [0, 1]; `shared` is the result of the method `shared` for them."""
        raise NotImplementedError


class Quantizer(Transform):
    """Round pixels to `bits` bits: x -> round(x (2^b - 1)) / (2^b - 1).

    Args:
        bits: per channel.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = 2**bits - 1

    def forward(self, x: Images, shared: Any = None) -> Images:
        """Return rounded images (B, C, H, W); see `Transform`."""
        del shared
        images: Images = (x.clamp(0, 1) * self.levels).round() / self.levels
        return images


class Compressor(Transform):
    """Compress and expand every image; pixels are rounded to 8 bits first.

    Args:
        quality: as Pillow counts it.
    """

    def __init__(self, quality: int) -> None:
        super().__init__()
        self.quality = quality

    def forward(self, x: Images, shared: Any = None) -> Images:
        """Return compressed images (B, C, H, W); an image that is not finite stays so. See `Transform`."""
        del shared
        finite = torch.isfinite(x.flatten(1)).all(dim=1)
        clean = x.where(finite[:, None, None, None], 0.0)
        pixels = (clean.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        parts = [pixels] if pixels.shape[1] in (1, 3) else [pixels[:, c : c + 1] for c in range(x.shape[1])]
        planes = [torch.stack([self._round_trip(image) for image in part]) for part in parts]
        images = torch.cat(planes, dim=1).to(x.device).to(x.dtype) / 255
        return images.where(finite[:, None, None, None], torch.nan)

    def _round_trip(self, image: Tensor) -> Tensor:
        """Return one uint8 image (C, H, W), C 1 or 3, after the round trip."""
        planes = image.permute(1, 2, 0).contiguous().numpy()
        memory = io.BytesIO()
        Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes).save(
            memory, "JPEG", quality=self.quality
        )
        memory.seek(0)
        back = torch.from_numpy(np.array(Image.open(memory)))
        return back[None] if back.ndim == 2 else back.permute(2, 0, 1)


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
        """Return filtered images (B, C, H, W); see `Transform`."""
        del shared
        rows = self._mirrored(x.shape[2], x.device)
        columns = self._mirrored(x.shape[3], x.device)
        canvas = x[:, :, rows][:, :, :, columns]
        windows = canvas.unfold(2, self.side, 1).unfold(3, self.side, 1).flatten(-2)
        return windows.sort(dim=-1).values[..., self.side**2 // 2]

    def _mirrored(self, length: int, device: torch.device) -> Tensor:
        """Return the indices (length + side - 1,) of an axis with mirrored ends, the border pixel twice."""
        places = torch.arange(-(self.side // 2), length + (self.side - 1) // 2, device=device)
        period = places.remainder(2 * length)
        return torch.minimum(period, 2 * length - 1 - period)
