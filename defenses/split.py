"""The held-out part: rows of the training data that choose the checkpoint and are never learned from."""

from __future__ import annotations

import torch

from robench.data import ImageSet
from robench.errors import InputError
from robench.randomness import seed_from


def split(data: ImageSet, fraction: float, seed: int) -> tuple[ImageSet, ImageSet | None]:
    """Return disjoint parts to learn from and to choose the checkpoint by.

    Raises:
        InputError: nothing would be left to learn from.
    """
    if not fraction:
        return data, None
    count = max(1, round(fraction * len(data)))
    if count >= len(data):
        raise InputError(where="validation", expected="images left to train on", got=f"{len(data)} in all")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed_from(seed, "validation")))
    return data.subset(order[count:].sort().values), data.subset(order[:count].sort().values)


def halves(data: ImageSet, seed: int, *label: object) -> tuple[ImageSet, ImageSet]:
    """Return the data in two disjoint random halves (Wang & Osher 2019, Algorithm 1, line 7).

    Args:
        data: rows to share out; the second half gets the odd one.
        seed: the only source of chance.
        label: separates uses of the same seed.

    Raises:
        InputError: a half would be empty.
    """
    if len(data) < 2:
        raise InputError(where="train", expected="images for two halves", got=f"{len(data)} in all")
    order = torch.randperm(
        len(data), generator=torch.Generator().manual_seed(seed_from(seed, "halves", *label))
    )
    middle = len(data) // 2
    return data.subset(order[:middle].sort().values), data.subset(order[middle:].sort().values)
