"""Load the images a plan names: a data set, a split, and how many of it."""

from __future__ import annotations

from pathlib import Path

import torch

from robench import plugins, recipe
from robench.data.images import ImageSet
from robench.data.listing import ListedRecipe
from robench.data.subset import chosen_rows
from robench.errors import InputError
from robench.plan.spec import DataSpec


def load_data(spec: DataSpec, *, root: Path | None, download: bool, seed: int) -> ImageSet:
    """Return the images of a specification.

    Args:
        spec: data set, split, indices, limit, subset and how many labels are known.
        root: folder with the files, or None for the cache.
        download: whether the network may be used.
        seed: for a subset that is drawn.

    Raises:
        InputError: files missing or unreadable, or the requested indices, limit or labels exceed the split.
    """
    kind = plugins.find("datasets", spec.dataset.name, where=spec.dataset.where)
    source = recipe.build(kind, spec.dataset.options, where=spec.dataset.where)
    listing = source.listing(spec.split, root=root) if isinstance(source, ListedRecipe) else None
    whole: ImageSet = (
        listing.without_pixels() if listing else source(spec.split, root=root, download=download)
    )
    if spec.indices is not None:
        whole = _at(whole, spec.indices)
    limit = spec.limit if spec.at_most is None else min(spec.limit or spec.at_most, len(whole))
    selection = select(whole, limit=limit, subset=spec.subset, seed=seed, labelled=spec.labelled)
    return listing.images(selection) if listing else selection


def select(
    whole: ImageSet, *, limit: int | None, subset: str, seed: int, labelled: int | None = None
) -> ImageSet:
    """Return the first `limit` images, or a seeded choice of that many: of equal classes, or at random.

    With `labelled`, only so many of them, chosen in the same way, keep their labels; the other labels are
    replaced by -1 here, before any other code sees the images.

    Raises:
        InputError: more images or labels requested than exist, a class has too few for a balanced choice,
            or the first images are not representative, for example if a folder is sorted by class.
    """
    if limit is not None:
        whole = whole.subset(chosen_rows(whole, limit, subset, seed, what="limit"))
    if labelled is not None:
        mask = torch.zeros(len(whole), dtype=torch.bool)
        mask[chosen_rows(whole, labelled, subset, seed, what="number of labelled images")] = True
        whole = whole.withholding((~mask).nonzero().squeeze(1))
    return whole


def _at(whole: ImageSet, indices: tuple[int, ...]) -> ImageSet:
    """Return the images at these positions of the split, in this order."""
    outside = [index for index in indices if not 0 <= index < len(whole)]
    if outside or not indices:
        got = str(outside[0]) if outside else "none"
        raise InputError(
            where=f"{whole.name} {whole.split}", expected=f"indices from 0 to {len(whole) - 1}", got=got
        )
    return whole.subset(torch.tensor(indices))
