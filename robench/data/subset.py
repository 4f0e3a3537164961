"""The choice of some images of a split: the first, equally many of each class, or any at random."""

from __future__ import annotations

import torch

from robench.data.images import ImageSet
from robench.errors import InputError
from robench.plurals import counted
from robench.randomness import Randomness, seed_from
from robench.types import Labels, RowNumbers

STANDARD_DEVIATIONS, LEEWAY = 5.0, 15.0
"""Limit, in standard deviations plus a constant, of how far the first images' classes may deviate.

By chance the limit is exceeded about once in a million times, with two classes as with a thousand.
"""
RARE = 0.25
"""Least variance of a class: a single image of a class that appears rarely must not have a large weight."""


def chosen_rows(whole: ImageSet, count: int, subset: str, seed: int, *, what: str) -> slice | RowNumbers:
    """Return the chosen rows of a split.

    Args:
        whole: the split.
        count: how many images, from 1 to all.
        subset: `first`, `balanced` or `random`.
        seed: seed of a random choice.
        what: name of the number in messages.

    Raises:
        InputError: more than the split has, a class has too few for a balanced choice, or the first images
            are not representative of all.
    """
    if not 0 < count <= len(whole):
        raise InputError(
            where=f"{whole.name} {whole.split}", expected=f"a {what} from 1 to {len(whole)}", got=str(count)
        )
    if subset == "balanced":
        return balanced_rows(whole.labels, len(whole.classes), count, seed=seed)
    if subset == "random":
        return _draws(len(whole), "random subset", seed).argsort(stable=True)[:count].sort().values
    check_first(whole, count)
    return slice(0, count)


def check_first(whole: ImageSet, count: int) -> None:
    """Refuse the first images if they do not represent the split's classes, for example if it is sorted.

    The statistic is Pearson's chi-square of their classes, drawn without replacement; rare classes, whose
    number varies by less than `RARE`, count less. If the order does not depend on the classes, it is about as
    large as the number of classes.

    Raises:
        InputError: the images do not represent the classes; names a class.
    """
    labels = whole.labels[whole.labels >= 0]
    first = whole.labels[:count]
    first = first[first >= 0]
    left = len(labels) - len(first)
    if not len(first) or not left:
        return
    classes = max(len(whole.classes), int(labels.max()) + 1)
    every = torch.bincount(labels, minlength=classes).double()
    shares = every * (len(first) / len(labels))
    counts = torch.bincount(first, minlength=classes).double()
    variances = shares * (left / (len(labels) - 1))
    deviation = float(((counts - shares).square() / variances.clamp(min=RARE)).sum())
    freedom = int((every > 0).sum()) - 1
    if deviation <= freedom + STANDARD_DEVIATIONS * (2 * freedom) ** 0.5 + LEEWAY:
        return
    most = int((counts - shares).argmax())
    name = whole.classes[most] if most < len(whole.classes) else str(most)
    raise InputError(
        where=f"{whole.name} {whole.split}",
        expected="images whose classes are a fair part of all, where not all are taken",
        got=f"the first {count} of {len(whole)}: {int(counts[most])} of class {name!r}, where its share is "
        f"{shares[most]:.1f}; the images are sorted",
        do="Write `subset: balanced` or `subset: random` (`--set dataset.subset=random`), or name images by "
        "`indices`",
    )


def _draws(count: int, purpose: str, seed: int) -> torch.Tensor:
    """Return one uniform number for each row."""
    rows = Randomness(seed_from(seed, purpose), torch.arange(count))
    return rows.uniform(torch.empty(count, 1, dtype=torch.float64))[:, 0]


def balanced_rows(labels: Labels, classes: int, count: int, *, seed: int) -> RowNumbers:
    """Return `count` row numbers, in ascending order, with class sizes that differ by at most one.

    Raises:
        InputError: a class has too few images; names it.
    """
    # One uniform number per row decides; the rows with the lowest numbers of each class are chosen.
    draws = _draws(len(labels), "balanced", seed)
    counts = torch.bincount(labels[labels >= 0], minlength=classes)[:classes]
    shares = torch.full((classes,), count // classes).add_(torch.arange(classes) < count % classes)
    for label in (counts < shares).nonzero()[:1, 0].tolist():
        raise InputError(
            where="balanced subset",
            expected=f"at least {counted(int(shares[label]), 'image')} of class {label}",
            got=str(int(counts[label])),
            do="Lower the limit or use `subset: random`",
        )
    rows = (labels >= 0).nonzero().squeeze(1)
    order = rows[draws[rows].argsort(stable=True)]
    order = order[labels[order].argsort(stable=True)]  # by class, and by draw within a class
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(order)) - starts[labels[order]]
    return order[rank < shares[labels[order]]].sort().values
