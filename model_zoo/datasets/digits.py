"""The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from model_zoo.datasets.files import check_split
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    from robench.data.images import ImageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """scikit-learn's 8x8 digits; nothing is downloaded.

    The split is ours, since the copy has none: of each class, in file order, every fourth image is a test
    image. A writer's digits may fall on both sides.
    """

    info: ClassVar[Info] = Info(
        title="Digits 8x8",
        paper="Alpaydin & Kaynak 1998, UCI; scikit-learn's copy",
        bibtex=paper("alpaydin1998optical"),
    )

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 1, 8, 8) float32 in [0, 1], multiples of 1/16.

        Args:
            split: `train` (1,352 images) or `test` (445).
            root: not used.
            download: not used.

        Raises:
            InputError: another split.
        """
        import numpy as np
        from sklearn.datasets import load_digits

        from robench.data.images import image_set

        del root, download
        check_split(split, where="digits")
        pixels, labels = load_digits(return_X_y=True)
        order = np.argsort(labels, kind="stable")
        rank = np.empty(len(labels), dtype=np.int64)
        rank[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
        rows = (rank % 4 == 3) == (split == "test")
        images = (pixels[rows] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        return image_set(images, labels[rows].astype(np.int64), name="Digits 8x8", split=split, classes=10)
