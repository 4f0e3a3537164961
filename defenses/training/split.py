"""Splits training data: rows held out to choose the checkpoint, and the halves of a WNLL stage."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robench.data.images import ImageSet
from robench.errors import InputError
from robench.randomness import seed_from


def split(data: ImageSet, fraction: float, seed: int) -> tuple[ImageSet, ImageSet | None]:
    """Return disjoint parts (n, C, H, W) of the data (N, C, H, W), for training and choosing the checkpoint.

    Only images with a label are held out; all images without one stay in the first part.

    Args:
        data: rows to split.
        fraction: of the labelled images to hold out, from 0 and below 1; 0 holds out none.
        seed: the only source of randomness.

    Raises:
        InputError: nothing would be left for training.
    """
    if not fraction:
        return data, None
    rows = (data.labels >= 0).nonzero().squeeze(1)
    count = max(1, round(fraction * len(rows)))
    if count >= len(rows):
        raise InputError(where="validation", expected="images left to train on", got=f"{len(rows)} in all")
    generator = torch.Generator().manual_seed(seed_from(seed, "validation"))
    validation_set = rows[torch.randperm(len(rows), generator=generator)[:count]].sort().values
    rest = torch.ones(len(data), dtype=torch.bool).index_fill(0, validation_set, False)
    return data.subset(rest.nonzero().squeeze(1)), data.subset(validation_set)


def halves(data: ImageSet, seed: int, *label: object) -> tuple[ImageSet, ImageSet]:
    """Return the data in two disjoint random halves (Wang & Osher 2019, Algorithm 1, line 7).

    The second half, the template, has every class; the first half has every class with more than one image.
    If the random split does not fulfil this, as in small sets, each class is split separately.

    Args:
        data: labelled images (N, C, H, W) to split; the second half gets the odd one.
        seed: the only source of randomness.
        label: separates uses of the same seed.

    Raises:
        InputError: a half would be empty.
    """
    order = torch.randperm(
        len(data), generator=torch.Generator().manual_seed(seed_from(seed, "halves", *label))
    )
    labels, middle = data.labels[order], len(data) // 2
    first, second = order[:middle], order[middle:]
    if not _covered(labels[:middle], labels[middle:]):
        classes = [order[labels == label] for label in sorted(set(labels.tolist()))]
        first = torch.cat([order[:0], *(rows[1::2] for rows in classes)])
        second = torch.cat([order[:0], *(rows[::2] for rows in classes)])
    if not len(first):
        raise InputError(where="train", expected="images for two halves", got=f"{len(data)} in all")
    return data.subset(first.sort().values), data.subset(second.sort().values)


def joined(one: ImageSet, other: ImageSet) -> ImageSet:
    """Return the rows of both parts, N and M images (C, H, W) of one data set, together: N + M."""
    if not len(other):
        return one
    return replace(
        one,
        images=torch.cat([one.images, other.images]),
        labels=torch.cat([one.labels, other.labels]),
        indices=torch.cat([one.indices, other.indices]),
    )


def _covered(first: Tensor, second: Tensor) -> bool:
    """Tell whether the second labels (M,) have every class, and the first (N,) those with two images."""
    if not len(first):
        return False
    size = int(torch.cat([first, second]).max()) + 1
    before, after = torch.bincount(first, minlength=size), torch.bincount(second, minlength=size)
    losses = (after == 0) & (before > 0) | (before == 0) & (after > 1)
    return not bool(losses.any())
