"""A split with only its labels read: pictures are decoded only when they are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from robench.data.images import ImageSet
from robench.data.labels import read_labels
from robench.data.pixels import read_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Labels of a split, and how to read some of its images.

    Attributes:
        name: name of the data set in tables.
        split: `train` or `test`.
        labels: (N,) class indices, as `image_set` takes them.
        classes: class names, or how many classes; None for as many as the labels show.
        read: (positions in the split, in the order wanted) -> images (n, C, H, W); its errors name the file.
    """

    name: str
    split: str
    labels: NDArray[np.generic]
    classes: Sequence[str] | int | None
    read: Callable[[Sequence[int]], NDArray[Any]]

    def without_pixels(self) -> ImageSet:
        """Return all images of the split as a set whose images have no pixels: (N, 0, 0, 0).

        Raises:
            InputError: a label is out of range.
        """
        count = len(self.labels)
        labels, classes = read_labels(self.labels, count, where=self.name, classes=self.classes)
        return ImageSet(
            name=self.name,
            split=self.split,
            images=torch.empty(count, 0, 0, 0, dtype=torch.uint8),
            labels=labels,
            classes=classes,
            indices=torch.arange(count),
        )

    def images(self, chosen: ImageSet | None = None) -> ImageSet:
        """Return the images of a set without pixels with their pixels; by default the whole split.

        Raises:
            InputError: a picture cannot be read, or two are of different size.
        """
        chosen = self.without_pixels() if chosen is None else chosen
        pixels = self.read(chosen.indices.tolist())
        return replace(chosen, images=read_images(pixels, where=self.name, labels=len(chosen)))


@runtime_checkable
class ListedRecipe(Protocol):
    """A data set plugin that can give the labels of a split before it reads images."""

    def listing(self, split: str, *, root: Path | None) -> Listing:
        """Return the labels of one split and how to read its images; errors are those of the call."""
        ...
