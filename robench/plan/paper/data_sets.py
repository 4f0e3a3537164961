"""The images of an experiment, and the paper's preprocessing of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from robench.errors import ConfigError

PAPER_NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "svhn": "SVHN"}
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_DEVIATION = (0.2470, 0.2435, 0.2616)
"""Of CIFAR-10's training images by channel, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperData:
    """The images of an experiment.

    Attributes:
        name: the paper's name of them: `mnist`, `cifar10`, `cifar100` or `svhn`.
        train_on: data set plugin, or `.npz` file, of the training images; empty for `name`.
        test_on: the same for the test images.
        images: use only these numbers of labelled training images that a table compares; empty for all.
    """

    name: str
    train_on: str = ""
    test_on: str = ""
    images: tuple[int, ...] = ()

    eps: float | str = field(init=False)
    step_size: float | str = field(init=False)

    def __post_init__(self) -> None:
        """Fill in the paper's settings for these images (section 4.3)."""
        mnist = self.name == "mnist"
        object.__setattr__(self, "eps", 0.3 if mnist else "8/255")
        object.__setattr__(self, "step_size", 0.01 if mnist else "1/255")

    @property
    def augmentation(self) -> str:
        """What training does to the images: crops and mirrors on CIFAR, nothing elsewhere (section 4)."""
        return "crop_flip" if self.name.startswith("cifar") else "none"

    @property
    def normalize(self) -> dict[str, Any]:
        """The model's first layer as keys of a configuration; empty where the paper has none."""
        if not self.name.startswith("cifar"):
            return {}
        return {"normalize": {"mean": list(CIFAR_MEAN), "std": list(CIFAR_DEVIATION)}}

    def sizes(self, offered: Iterable[int]) -> list[int]:
        """Return the numbers of labelled training images to compare, in the order they are offered.

        Raises:
            ConfigError: `images` names one that is not offered.
        """
        every = list(offered)
        if others := [n for n in self.images if n not in every]:
            raise ConfigError(
                where="--images",
                expected=f"{' or '.join(map(str, every)) or 'none'}, which this table has at this scale",
                got=str(others[0]),
            )
        return [n for n in every if not self.images or n in self.images]

    def training(self, images: int | None, *, labelled: int | None = None) -> dict[str, Any]:
        """Return the key `data` of a training.

        Args:
            images: how many, None for all.
            labelled: how many of them keep their label, None for all.
        """
        entry = _entry(self.train_on or self.name, "train", PAPER_NAMES[self.name])
        if images is not None:
            entry["limit"] = images
        if labelled is not None:
            entry["labelled"] = labelled
        return entry

    def test(self, images: int | None) -> dict[str, Any]:
        """Return the key `dataset`: the first images of the test split.

        Args:
            images: how many at most, None for all.
        """
        entry = _entry(self.test_on or self.name, "test", PAPER_NAMES[self.name])
        return entry if images is None else {**entry, "at_most": images, "subset": "first"}


def _entry(source: str, split: str, title: str) -> dict[str, Any]:
    path = PurePath(source)
    if path.suffix == ".npz":
        options = {"path": source, "holds": split, "title": f"{title} ({path.name})"}
        return {"name": "npz", "split": split, "options": options}
    return {"name": source, "split": split}
