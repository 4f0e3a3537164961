"""The JPEG round trip of a batch of images, by Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from defenses.inference.bpda import Transform
from robench.types import Images


class Compressor(Transform):
    """Compress and expand every image; pixels are rounded to 8 bits first.

    Args:
        quality: as Pillow counts it.
    """

    def __init__(self, quality: int) -> None:
        super().__init__()
        self.quality = quality

    def forward(self, x: Images, shared: Any = None) -> Images:
        """Return what is left of the images; one that is not finite stays so. See `Transform`."""
        del shared
        finite = torch.isfinite(x.flatten(1)).all(dim=1)
        clean = x.where(finite[:, None, None, None], 0.0)
        pixels = (clean.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        parts = [pixels] if pixels.shape[1] in (1, 3) else [pixels[:, c : c + 1] for c in range(x.shape[1])]
        coded = torch.cat([torch.stack([self._coded(image) for image in part]) for part in parts], dim=1)
        done = coded.to(x.device).to(x.dtype) / 255
        return done.where(finite[:, None, None, None], torch.nan)

    def _coded(self, image: Tensor) -> Tensor:
        """Return one uint8 image (C, H, W), C 1 or 3, after the round trip."""
        planes = image.permute(1, 2, 0).contiguous().numpy()
        memory = io.BytesIO()
        Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes).save(
            memory, "JPEG", quality=self.quality
        )
        memory.seek(0)
        back = torch.from_numpy(np.array(Image.open(memory)))
        return back[None] if back.ndim == 2 else back.permute(2, 0, 1)
