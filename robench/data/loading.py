"""Load the images a plan names: a data set, a split, and how many of it."""

from __future__ import annotations

from pathlib import Path

import torch

from robench import plugins, recipe
from robench.data.images import ImageSet
from robench.data.listing import ListedRecipe
from robench.errors import InputError
from robench.plan.spec import DataSpec
from robench.plurals import counted
from robench.randomness import Randomness, seed_from


def load_data(spec: DataSpec, *, root: Path | None, download: bool, seed: int) -> ImageSet:
    """Return the images of a specification.

    Args:
        spec: data set, split, indices, limit, subset and how many labels are known.
        root: folder with the files, or None for the cache.
        download: whether the network may be used.
        seed: for a balanced subset.

    Raises:
        InputError: files missing or unreadable, or the indices, the limit or the labels asked for exceed what
            there is.
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
    """Return the first `limit` images, or a seeded class-balanced choice of that many.

    With `labelled`, only so many of them, chosen in the same way, keep their labels; those of all others are
    replaced by -1 here, before anything else sees the images.

    Raises:
        InputError: more images or labels asked for than there are, or a class has too few for a balanced
            choice.
    """
    if limit is not None:
        whole = whole.subset(_rows(whole, limit, subset, seed, what="limit"))
    if labelled is not None:
        mask = torch.zeros(len(whole), dtype=torch.bool)
        mask[_rows(whole, labelled, subset, seed, what="number of labelled images")] = True
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


def _rows(whole: ImageSet, count: int, subset: str, seed: int, *, what: str) -> slice | torch.Tensor:
    if not 0 < count <= len(whole):
        raise InputError(
            where=f"{whole.name} {whole.split}", expected=f"a {what} from 1 to {len(whole)}", got=str(count)
        )
    if subset == "first":
        return slice(0, count)
    return balanced_rows(whole.labels, len(whole.classes), count, seed=seed)


def balanced_rows(labels: torch.Tensor, classes: int, count: int, *, seed: int) -> torch.Tensor:
    """Return `count` row numbers, in ascending order, with class sizes that differ by at most one.

    Raises:
        InputError: a class has too few images; names it.
    """
    # One uniform number per row decides; the lowest of each class are taken.
    draws = Randomness(seed_from(seed, "balanced"), torch.arange(len(labels))).uniform(
        torch.empty(len(labels), 1, dtype=torch.float64)
    )[:, 0]
    counts = torch.bincount(labels[labels >= 0], minlength=classes)[:classes]
    shares = torch.full((classes,), count // classes).add_(torch.arange(classes) < count % classes)
    for label in (counts < shares).nonzero()[:1, 0].tolist():
        raise InputError(
            where="balanced subset",
            expected=f"at least {counted(int(shares[label]), 'image')} of class {label}",
            got=str(int(counts[label])),
            do="Lower the limit or use `subset: first`",
        )
    rows = (labels >= 0).nonzero().squeeze(1)
    order = rows[draws[rows].argsort(stable=True)]
    order = order[labels[order].argsort(stable=True)]  # by class, and by draw within a class
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(order)) - starts[labels[order]]
    return order[rank < shares[labels[order]]].sort().values
