"""Random crops and mirrors, drawn per image."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from robench.randomness import Randomness
from robench.types import Images

PADDING = 4


def crop_flip(x: Images, rng: Randomness) -> Images:
    """Return crops of the images padded by 4 black pixels, half of them mirrored (He et al. 2016)."""
    count, _, height, width = x.shape
    drawn = rng.uniform(x.new_empty(count, 3))
    down, right = (drawn[:, :2] * (2 * PADDING + 1)).long().unbind(dim=1)
    across = torch.arange(width, device=x.device).expand(count, width)
    across = torch.where(drawn[:, 2:] < 0.5, across.flip(1), across) + right[:, None]
    along = torch.arange(height, device=x.device) + down[:, None]
    image = torch.arange(count, device=x.device)[:, None, None]
    padded = F.pad(x, (PADDING,) * 4).permute(0, 2, 3, 1)
    return padded[image, along[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)
