"""A data set in memory, checked once: images as stored, served as float batches in [0, 1]."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.data.arrays import own_array
from robench.data.labels import check_labels, read_labels
from robench.data.pixels import check_images, note_copies, read_images
from robench.errors import InputError
from robench.plan.spec import content_hash
from robench.plurals import counted
from robench.randomness import Randomness
from robench.recipe import Info
from robench.types import Images, Labels, RowMask, RowNumbers, Values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DatasetRecipe",
    "ImageSet",
    "check_coverage",
    "check_images",
    "check_labels",
    "crop_flip",
    "image_set",
]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ImageSet:
    """Labelled images of one split.

    Attributes:
        name: its name in tables, such as `MNIST` or `CIFAR-10 (JPEG copy)`.
        split: `train` or `test`.
        images: (N, C, H, W), uint8 in 0..255 or float in [0, 1].
        labels: (N,) int64; -1 where the label is withheld (semi-supervised training).
        classes: class names, in label order.
        indices: (N,) int64 position of each image in the full split; the identity used for randomness.
    """

    name: str
    split: str
    images: Tensor
    labels: Labels
    classes: tuple[str, ...]
    indices: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """Return one line: name, split, how many images of which shape and type, and how many classes."""
        kind = str(self.images.dtype).removeprefix("torch.")
        count = int((self.labels < 0).sum())
        return (
            f"ImageSet({self.name!r} {self.split}: {counted(len(self), 'image')} {self.shape} {kind}, "
            f"{counted(len(self.classes), 'class')}{f', {count} without a label' if count else ''})"
        )

    def _repr_html_(self) -> str:
        counts = torch.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))
        cells = [f"<td>{escape(name)}</td>" for name in self.classes]
        numbers = [f"<td>{count}</td>" for count in counts.tolist()]
        lines = f"<tr><th>class</th>{''.join(cells)}</tr><tr><th>images</th>{''.join(numbers)}</tr>"
        table = f"<table><tbody>{lines}</tbody></table>" if len(self.classes) <= 20 else ""
        return f"<p>{escape(repr(self))}</p>{table}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def batch(self, rows: slice | RowNumbers | RowMask) -> tuple[Values, Labels]:
        """Return images (b, C, H, W), float32 in [0, 1], and labels (b,) of the given rows, both copied.

        A set may hold other values than images, such as a network's features (b, D): they come as they are.

        Args:
            rows: a slice, numbers (b,), or a mask (N,).
        """
        # A slice is a view: a network that changes its input in place would change the set.
        images, labels = self.images[rows].to(torch.float32, copy=True), self.labels[rows].clone()
        return images.div_(255) if self.images.dtype == torch.uint8 else images, labels

    def subset(self, rows: slice | RowNumbers | RowMask) -> ImageSet:
        """Return the given rows as a new set; the images keep their indices in the full split."""
        return replace(self, images=self.images[rows], labels=self.labels[rows], indices=self.indices[rows])

    def labelled(self) -> ImageSet:
        """Return the images whose labels are known: the set itself, if all are."""
        return self if bool((self.labels >= 0).all()) else self.subset(self.labels >= 0)

    def unlabelled(self) -> ImageSet:
        """Return the images whose labels are withheld; there may be none."""
        return self.subset(self.labels < 0)

    def withholding(self, rows: RowNumbers | RowMask) -> ImageSet:
        """Return the same images with the labels of the given rows replaced by -1."""
        return replace(self, labels=self.labels.index_fill(0, rows, -1))

    def digest(self) -> str:
        """Return the SHA-256 over images and labels."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.labels):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def images_hash(data: ImageSet) -> str:
    """Return the content hash of images with their labels, and their numbers in the full split."""
    return content_hash([data.digest(), data.indices.tolist()])


def image_set(
    images: Tensor | NDArray[np.generic] | Sequence[Any],
    labels: Tensor | NDArray[np.generic] | Sequence[Any],
    *,
    name: str = "data",
    split: str = "test",
    classes: Sequence[str] | int | None = None,
) -> ImageSet:
    """Check images and labels and make an ImageSet of them.

    The set has its own copy: changes of the caller's arrays do not change the set, or the reverse.

    Args:
        images: (N, C, H, W) uint8 in 0..255 or float in [0, 1]; tensors or arrays with any strides and byte
            order. Pixels a rounding error outside [0, 1] (1e-4; 1e-3 in float16) are clipped, with a warning.
            Test images that are copies of others cause a warning too.
        labels: class indices from 0, integers of any width: (N,), a column (N, 1) or a row (1, N).
        name: name of the data in tables.
        split: `train` or `test`.
        classes: class names, or how many classes; by default as many as the labels show.

    Raises:
        InputError: images empty, of the wrong shape, not finite or outside [0, 1]; labels one-hot, not
            integers, of another length, or out of range; or either is not an array of numbers. Names the
            first wrong image and the likely fix.
    """
    targets = own_array(labels, where=name, what="labels")
    with torch.inference_mode(False):  # otherwise gradients at these images could not be computed later
        pixels = read_images(images, where=name, labels=targets.size)
        indices, names = read_labels(targets, len(pixels), where=name, classes=classes)
        rows = torch.arange(len(pixels), device="cpu")
    if split == "test":
        note_copies(pixels, where=name)
    return ImageSet(name=name, split=split, images=pixels, labels=indices, classes=names, indices=rows)


def check_coverage(data: ImageSet, *, where: str) -> None:
    """Refuse training data in which a class has no labelled image; labels of -1 (unknown) do not count.

    Raises:
        InputError: a class is missing; names every missing one.
    """
    counts = torch.bincount(data.labels[data.labels >= 0], minlength=len(data.classes))
    missing = [data.classes[i] for i in (counts == 0).nonzero().squeeze(1).tolist()]
    if missing:
        raise InputError(
            where=where,
            expected=f"labelled images of all {counted(len(data.classes), 'class')}",
            got=f"none of class {', '.join(missing)}",
            do="Use more images, or a class-balanced choice: `subset: balanced`",
        )


class DatasetRecipe(Protocol):
    """A data set plugin: a frozen recipe whose call returns one split, checked.

    It must not use the network without permission.
    """

    info: ClassVar[Info]

    def __call__(self, split: str, *, root: Path | None, download: bool) -> ImageSet:
        """Return one split.

        Args:
            split: `train` or `test`.
            root: folder that holds the files, or None for the default cache.
            download: whether the network may be used.

        Raises:
            InputError: files missing (says where they were searched and how to get them) or unreadable.
        """
        ...


PADDING = 4


def crop_flip(x: Images, rng: Randomness) -> Images:
    """Return crops (B, C, H, W) of images padded by 4 black pixels, half of them mirrored (He et al. 2016).

    Args:
        x: images (B, C, H, W), where 0 is black.
        rng: decides, for each image, which crop it is and whether it is mirrored.
    """
    count, _, height, width = x.shape
    draws = rng.uniform(x.new_empty(count, 3))
    down, right = (draws[:, :2] * (2 * PADDING + 1)).long().unbind(dim=1)
    across = torch.arange(width, device=x.device).expand(count, width)
    across = torch.where(draws[:, 2:] < 0.5, across.flip(1), across) + right[:, None]
    along = torch.arange(height, device=x.device) + down[:, None]
    image = torch.arange(count, device=x.device)[:, None, None]
    canvas = F.pad(x, (PADDING,) * 4).permute(0, 2, 3, 1)
    return canvas[image, along[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)
