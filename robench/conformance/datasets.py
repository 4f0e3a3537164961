"""The laws of data sets. The network is closed while they are checked.

Published sets have a few test images that are training images too; more than one in a hundred counts as a
mistake in the split.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch

from robench.conformance.isolation import lent_generators, without_network
from robench.conformance.recipes import described, light
from robench.conformance.result import InapplicableError, Result, judged, require
from robench.data.images import DatasetRecipe, ImageSet, check_images, check_labels
from robench.errors import InputError
from robench.recipe import Info

SPLITS = ("train", "test")
LEAK = 0.01
"""Largest share of test images that may be training images too, bit for bit."""


@dataclass(slots=True)
class DatasetTrial:
    """One data set under test; each split is loaded once for most laws.

    Attributes:
        recipe: gives a split.
        root: folder that holds the files.
        download: fetch what is missing, before the network is closed.
        moved: the global generators whose state changed at the last loading.
        asked: the addresses it tried to reach.
    """

    info_type: ClassVar[type[Info]] = Info
    recipe: DatasetRecipe
    root: Path | None
    download: bool
    moved: list[str] = field(default_factory=list, init=False)
    asked: list[str] = field(default_factory=list, init=False)
    _results: dict[str, ImageSet | InputError] | None = field(default=None, init=False)

    @property
    def results(self) -> dict[str, ImageSet | InputError]:
        """Each split, or why it does not load."""
        if self._results is None:
            if self.download:
                for split in SPLITS:
                    self.recipe(split, root=self.root, download=True)
            self._results = {split: self._tried(split) for split in SPLITS}
        return self._results

    @property
    def splits(self) -> dict[str, ImageSet]:
        """The splits that load."""
        return {name: split for name, split in self.results.items() if isinstance(split, ImageSet)}

    def load(self, split: str, global_seed: int = 0) -> ImageSet:
        """Load a split with the network closed."""
        with without_network() as addresses, lent_generators(global_seed) as self.moved:
            try:
                data = self.recipe(split, root=self.root, download=False)
            finally:
                self.asked += addresses
        require(
            isinstance(data, ImageSet),
            f"{split}: it gives a {type(data).__name__}, not an ImageSet",
        )
        return data

    def _tried(self, split: str) -> ImageSet | InputError:
        try:
            return self.load(split)
        except InputError as error:
            return error


def dataset_laws(recipe: DatasetRecipe, *, root: Path | None, download: bool) -> Iterator[Result]:
    """Check every law of data sets on one recipe, one by one.

    Args:
        recipe: the data set.
        root: folder that holds the files, None for the default cache.
        download: fetch what is missing first.
    """
    rest: list[Callable[[DatasetTrial], str]] = [valid, same_kind, indices, repeat, chance, separate, leak]
    trial = DatasetTrial(recipe, root, download)
    return judged(trial, first=[described, light, offline], gate=loads, rest=rest)


def offline(trial: DatasetTrial) -> str:
    """Without permission to download it reaches for no other machine."""
    with contextlib.suppress(Exception):  # any other error is reported by the law `loads`
        _ = trial.results
    require(not trial.asked, f"it wanted to reach {', '.join(sorted(set(trial.asked)))}")
    return ""


def loads(trial: DatasetTrial) -> str:
    """Its splits load, or an InputError says which files are missing."""
    if not trial.splits:
        raise InapplicableError("; ".join(dict.fromkeys(map(str, trial.results.values()))))
    return ", ".join(
        f"{name}: {len(result)} images {result.shape}"
        if isinstance(result, ImageSet)
        else f"{name}: {result}"
        for name, result in trial.results.items()
    )


def valid(trial: DatasetTrial) -> str:
    """Images, labels and indices pass the checks of `image_set`, and the split says its name."""
    for name, split in trial.splits.items():
        check_images(split.images, where=name)
        check_labels(split.labels, len(split.images), len(split.classes), where=name)
        require(split.labels.dtype == torch.int64, f"{name}: labels of type {split.labels.dtype}")
        require(split.split == name, f"{name}: the split calls itself {split.split!r}")
        require(bool(split.name), f"{name}: it has no name")
    return ""


def same_kind(trial: DatasetTrial) -> str:
    """Both splits have the same classes in the same order, and images of the same shape."""
    train, test = _both(trial)
    require(train.classes == test.classes, f"classes {train.classes[:4]}... and {test.classes[:4]}...")
    require(train.shape == test.shape, f"images {train.shape} and {test.shape}")
    return f"{len(train.classes)} classes"


def indices(trial: DatasetTrial) -> str:
    """Every image of a split has an index of its own, the identity its randomness hangs on."""
    for name, split in trial.splits.items():
        count = len(split.images)
        require(split.indices.shape == (count,), f"{name}: {tuple(split.indices.shape)} for {count} images")
        unique = len(set(split.indices.tolist()))
        require(unique == count, f"{name}: {unique} different indices for {count} images")
    return ""


def repeat(trial: DatasetTrial) -> str:
    """Loading a split twice gives the same images, labels and indices in the same order."""
    digests = []
    for name, split in trial.splits.items():
        again = trial.load(name)
        require(split.digest() == again.digest(), f"{name}: another digest the second time")
        require(torch.equal(split.indices, again.indices), f"{name}: other indices the second time")
        digests.append(f"{name} {split.digest()[:12]}...")
    return ", ".join(digests)


def chance(trial: DatasetTrial) -> str:
    """The global generators of torch, NumPy and Python are neither moved nor used."""
    name, split = min(trial.splits.items(), key=lambda item: len(item[1]))
    other = trial.load(name, global_seed=1)
    require(not trial.moved, f"moved: {', '.join(trial.moved)}")
    # A data set that differs at every read is reported by the law `repeat`.
    depends = split.digest() != other.digest() and split.digest() == trial.load(name).digest()
    require(not depends, "two states of the global generators give other images")
    return ""


def separate(trial: DatasetTrial) -> str:
    """The splits share no memory, and neither do two loadings of one split."""
    train, test = _both(trial)
    again = trial.load("test")
    for what, other in (("train and test", train), ("two loadings of test", again)):
        for field_ in ("images", "labels"):
            one, two = getattr(test, field_), getattr(other, field_)
            same = one.untyped_storage().data_ptr() == two.untyped_storage().data_ptr()
            require(not same, f"{what} share the memory of their {field_}: writing to one changes the other")
    return ""


def leak(trial: DatasetTrial) -> str:
    """No more than 1 % of the test images are training images too, bit for bit."""
    train, test = _both(trial)
    hashes = set(_hashes(train))
    count = sum(one in hashes for one in _hashes(test))
    counts = f"{count} of {len(test)} test images are in the training split"
    require(count <= LEAK * len(test), counts)
    return counts


def _both(trial: DatasetTrial) -> tuple[ImageSet, ImageSet]:
    missing = [str(result) for result in trial.results.values() if isinstance(result, InputError)]
    if missing:
        raise InapplicableError(f"Only one split is there: {missing[0]}")
    return trial.splits["train"], trial.splits["test"]


def _hashes(split: ImageSet) -> list[int]:
    rows = split.images.contiguous().flatten(1).numpy()
    return [hash(row.tobytes()) for row in rows]
