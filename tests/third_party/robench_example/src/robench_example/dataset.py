"""Vertical against horizontal stripes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from robench.recipe import Info

if TYPE_CHECKING:
    from robench.data import ImageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripes:
    """Noisy stripes on 8 by 8 pixels; nothing is downloaded.

    Attributes:
        count: images per split.
    """

    info: ClassVar[Info] = Info(title="Stripes", paper="robench's documentation")
    count: int = 100

    def __call__(self, split: str, *, root: Path | None, download: bool) -> ImageSet:
        """Return one split; see `robench.data.DatasetRecipe`."""
        import torch

        from robench.data import image_set
        from robench.randomness import Randomness, seed_from

        del root, download
        y = torch.arange(self.count) % 2
        x = torch.zeros(self.count, 1, 8, 8)
        x[y == 0, :, :, ::2] = 0.7
        x[y == 1, :, ::2, :] = 0.7
        chance = Randomness(seed_from("stripes", split), torch.arange(self.count))
        x = (x + 0.1 * chance.normal(x)).clamp(0, 1)
        return image_set(x, y, name="Stripes", split=split, classes=["vertical", "horizontal"])
