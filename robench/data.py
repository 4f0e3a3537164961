"""A data set in memory, checked once: images as stored, served as float batches in [0, 1]."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor

from robench.errors import InputError
from robench.recipe import Info
from robench.types import Images, Labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Labelled images of one split.

    Attributes:
        name: what a table calls it, such as `MNIST` or `CIFAR-10 (JPEG copy)`.
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

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def batch(self, rows: slice | Tensor) -> tuple[Images, Labels]:
        """Return float32 images in [0, 1] and labels of the given rows."""
        images = self.images[rows]
        if images.dtype == torch.uint8:
            return images.to(torch.float32) / 255, self.labels[rows]
        return images.to(torch.float32), self.labels[rows]

    def subset(self, rows: slice | Tensor) -> ImageSet:
        """Return the given rows as a set of its own; the images keep their indices in the full split."""
        return replace(self, images=self.images[rows], labels=self.labels[rows], indices=self.indices[rows])

    def labelled(self) -> ImageSet:
        """Return the images whose labels are known: itself, where all are."""
        return self if bool((self.labels >= 0).all()) else self.subset(self.labels >= 0)

    def unlabelled(self) -> ImageSet:
        """Return the images whose labels are withheld; there may be none."""
        return self.subset(self.labels < 0)

    def withholding(self, rows: Tensor) -> ImageSet:
        """Return the same images with the labels of the given rows replaced by -1."""
        return replace(self, labels=self.labels.index_fill(0, rows, -1))

    def digest(self) -> str:
        """Return the SHA-256 over images and labels."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.labels):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


def image_set(
    images: Tensor | NDArray[np.generic],
    labels: Tensor | NDArray[np.generic],
    *,
    name: str = "data",
    split: str = "test",
    classes: Sequence[str] | int | None = None,
) -> ImageSet:
    """Check images and labels and make an ImageSet of them.

    Args:
        images: (N, C, H, W) uint8 in 0..255 or float in [0, 1].
        labels: (N,) integer class indices.
        name: what a table calls the data.
        split: `train` or `test`.
        classes: class names, or how many classes; by default as many as the labels show.

    Raises:
        InputError: images empty, of the wrong shape, not finite or outside [0, 1]; labels one-hot, not
            integers, of another length, or out of range. Names the first offender and the likely fix.
    """
    pixels, targets = torch.as_tensor(images), torch.as_tensor(labels)
    check_images(pixels, where=name)
    if classes is None:
        classes = int(targets.max()) + 1 if targets.ndim == 1 and targets.numel() else 2
    names = tuple(str(i) for i in range(classes)) if isinstance(classes, int) else tuple(classes)
    check_labels(targets, len(pixels), len(names), where=name)
    rows = torch.arange(len(pixels))
    return ImageSet(name=name, split=split, images=pixels, labels=targets.long(), classes=names, indices=rows)


def check_images(images: Tensor, *, where: str = "images", bounds: tuple[float, float] = (0.0, 1.0)) -> None:
    """Refuse images an attack must never see.

    Raises:
        InputError: empty, not (N, C, H, W), not uint8 or float, NaN or infinite, or outside `bounds`.
    """
    if images.ndim != 4:
        raise InputError(where=where, expected="images of shape (N, C, H, W)", got=str(tuple(images.shape)))
    if images.numel() == 0:
        raise InputError(where=where, expected="at least one image", got="none", do="Check split and limit")
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise InputError(
            where=where,
            expected="uint8 images in 0..255 or float images in [0, 1]",
            got=str(images.dtype),
            do="Convert them to uint8",
        )
    finite = torch.isfinite(images.flatten(1)).all(dim=1)
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        raise InputError(where=where, expected="finite pixels", got=f"NaN or infinity in image {bad}")
    low, high = float(images.min()), float(images.max())
    if low < bounds[0] or high > bounds[1]:
        if low >= 0 and high <= 255 and high > 2:
            do = "Divide by 255, or pass uint8"
        else:
            do = "Undo the normalisation: it belongs into the model, as its first layer"
        got = f"values from {low:.4g} to {high:.4g}"
        raise InputError(where=where, expected=f"pixels in [{bounds[0]:g}, {bounds[1]:g}]", got=got, do=do)


def check_labels(labels: Tensor, count: int, classes: int, *, where: str = "labels") -> None:
    """Refuse labels that are not class indices of these images.

    Raises:
        InputError: one-hot, not integers, of another length than the images, or out of range.
    """
    if labels.ndim == 2:
        raise InputError(
            where=where,
            expected="labels as class indices of shape (N,)",
            got=f"shape {tuple(labels.shape)}, which looks one-hot",
            do="Take argmax over the last axis",
        )
    if labels.ndim != 1 or len(labels) != count:
        raise InputError(where=where, expected=f"{count} labels, one per image", got=str(tuple(labels.shape)))
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(where=where, expected="integer labels", got=str(labels.dtype), do="Cast to int64")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise InputError(
            where=where,
            expected=f"labels from 0 to {classes - 1}",
            got=f"{int(labels[row])} at image {row}",
            do="Labels count from 0; check the number of classes",
        )


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
            expected=f"labelled images of all {len(data.classes)} classes",
            got=f"none of class {', '.join(missing)}",
            do="Use more images, or a class-balanced choice: `subset: balanced`",
        )


class DatasetRecipe(Protocol):
    """A data set plugin: a frozen recipe whose call returns one split, checked.

    Without permission it must not touch the network.
    """

    info: ClassVar[Info]

    def __call__(self, split: str, *, root: Path | None, download: bool) -> ImageSet:
        """Return one split.

        Args:
            split: `train` or `test`.
            root: folder that holds the files, or None for the default cache.
            download: whether the network may be used.

        Raises:
            InputError: files missing (says where they were looked for and how to get them) or unreadable.
        """
        ...
