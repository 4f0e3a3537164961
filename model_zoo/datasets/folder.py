"""A user's own pictures, in one folder per class."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from model_zoo.datasets.class_names import check_classes, labels_of, ordered
from model_zoo.datasets.files import check_split, resolved
from model_zoo.datasets.pictures import decode, stacked
from robench import plugins
from robench.errors import ConfigError, InputError
from robench.intake.limits import FILES, PICTURE, PIXELS, UNPACKED
from robench.intake.regular_file import read_regular
from robench.recipe import Info

if TYPE_CHECKING:
    from model_zoo.datasets.pictures import Pixels
    from robench.data.images import ImageSet
    from robench.data.listing import Listing

_LAYOUT = "Lay pictures out as FOLDER/test/CLASS/PICTURE, or those of a test alone as FOLDER/CLASS/PICTURE"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """Pictures laid out as `<path>/<split>/<class>/<picture>`, as torchvision's ImageFolder.

    A folder with neither `train` nor `test` in it is the test split: `<path>/<class>/<picture>`.

    Classes are the folder names of both splits together, so a class absent from the test split keeps its
    label. Names that are all numbers (digits 0 to 9, `7` or `07`) are in the order of numbers; all others,
    and numbers among words, in that of text. A warning says where the two orders differ, and where numbers
    are not 0, 1, 2, ... Names that begin with a dot are passed over. The order of images is by class and
    name; where not all are taken, `subset` has to be `balanced` or `random`.

    Attributes:
        path: the folder; relative to the data root if one is given, else to the current folder.
        resize: side of a square to scale and centre-crop to; None where all pictures have one size.
        gray: one channel instead of three.
        classes: how many classes there are, where each folder is called after its label, such as 17, and some
            may be missing; or the names of all folders in label order. None where the folders say it all.
    """

    info: ClassVar[Info] = Info(title="image folder", paper="the user's own data")
    path: str = ""
    resize: int | None = None
    gray: bool = False
    classes: int | tuple[str | int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a size below one pixel, and invalid classes."""
        check_classes(self.classes)
        if self.resize is not None and self.resize < 1:
            raise ConfigError(expected="resize of at least 1", got=str(self.resize))
        if self.resize is not None:
            PIXELS.check(self.resize**2, where="resize", error=ConfigError)

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 3 or 1, H, W) uint8.

        Args:
            split: `train` or `test`.
            root: folder in which a relative `path` is searched, and which it must not leave.
            download: not used.

        Raises:
            InputError: the folder or the split is absent or empty, two folders are the same number, `classes`
                does not fit the folders, or a picture is unreadable, of another size or of more than 8 bits.
        """
        del download
        return self.listing(split, root=root).images()

    def content(self, split: str, *, root: Path | None) -> str:
        """Return the SHA-256 over the pictures of a split and their places, in order of class and name.

        Raises:
            InputError: as `listing`, or a picture cannot be read.
        """
        _, place, files, _ = self._files(split, root)
        digest = hashlib.sha256()
        for file, label in files:
            data = read_regular(file, PICTURE, expected="a readable picture")
            digest.update(f"{label} {file.relative_to(place)} {len(data)}\n".encode())
            digest.update(data)
        return digest.hexdigest()

    def listing(self, split: str, *, root: Path | None) -> Listing:
        """Return the labels of one split, and how to read its pictures.

        Raises:
            InputError: the folder or the split is absent or empty, two folders are the same number, or
                `classes` does not fit the folders.
        """
        import numpy as np

        from robench.data.listing import Listing

        top, place, files, classes = self._files(split, root)

        def read(positions: Sequence[int]) -> Pixels:
            pictures, size = [], 0
            selection = [files[position][0] for position in positions]
            for file in selection:
                data = read_regular(file, PICTURE, expected="a readable picture")
                pictures.append(decode(data, where=str(file), resize=self.resize, gray=self.gray))
                size += pictures[-1].nbytes
                UNPACKED.check(size, where=str(place))
            return stacked(pictures, [str(file) for file in selection], where=str(place))

        return Listing(
            name=top.name,
            split=split,
            labels=np.array([label for _, label in files], dtype=np.int64),
            classes=classes,
            read=read,
        )

    def _files(
        self, split: str, root: Path | None
    ) -> tuple[Path, Path, list[tuple[Path, int]], int | list[str]]:
        """Return the folder, that of the split, its pictures with their labels, and the classes."""
        from robench.data.labels import MOST_CLASSES

        check_split(split, where="image_folder")
        top = resolved(self.path, root, where="image_folder")
        parts = [top / part for part in ("train", "test") if (top / part).is_dir()]
        place = top / split if parts or split == "train" else top
        names = {p.name for part in parts or [place] for p in _children(part) if p.is_dir()}
        if len(names) > MOST_CLASSES:
            expected = f"at most {MOST_CLASSES} class folders"
            raise InputError(where=str(top), expected=expected, got=str(len(names)))
        if not place.is_dir() or not names:
            expected = f"a folder for each class in {place}"
            raise InputError(where="image_folder", expected=expected, got="none", do=_remedy(top))
        classes: int | list[str]
        if self.classes is None:
            classes = ordered(names, where=str(top))
            labels = {name: label for label, name in enumerate(classes)}
        else:
            classes = self.classes if isinstance(self.classes, int) else [str(name) for name in self.classes]
            labels = labels_of(names, classes, where=str(top))
        files = [
            (file, label)
            for name, label in sorted(labels.items(), key=lambda item: item[1])
            for file in _children(place / name)
            if file.suffix.lower() in _SUFFIXES
        ]
        if not files:
            raise InputError(where=str(place), expected="at least one picture", got="none", do=_remedy(top))
        return top, place, files, classes


def _remedy(top: Path) -> str:
    """Return advice on the layout; for a folder with the name of a data set also how to use that set."""
    titles = {"cifar-10-batches-py": "cifar10", "cifar-100-python": "cifar100"}
    titles |= {name: name for name in plugins.names("datasets")}
    name = titles.get(top.name.lower())
    return (
        _LAYOUT if name is None else f"{_LAYOUT}. For {name} itself: --data {name} --data-root {top.parent}"
    )


def _children(folder: Path) -> list[Path]:
    """Return the entries of a folder, sorted; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, FILES.value() + 1)]
    except OSError as error:
        got = error.strerror or str(error)
        raise InputError(where=str(folder), expected="a readable folder", got=got) from error
    FILES.check(len(names), where=str(folder))
    return sorted(folder / name for name in names if not name.startswith("."))
