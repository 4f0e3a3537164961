"""A user's own arrays, in a NumPy archive that is never unpickled."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from model_zoo.datasets.class_names import check_classes
from model_zoo.datasets.files import CORRECT, check_split, resolved
from model_zoo.datasets.npy_member import BROKEN, read_array
from robench.errors import InputError
from robench.intake.archives import open_archive
from robench.intake.limits import DATA, UNPACKED
from robench.intake.regular_file import open_regular
from robench.plan.spec import LATER
from robench.recipe import Info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from robench.data.images import ImageSet

_LOG = logging.getLogger(__name__)
_IMAGES = ("x", "X", "images", "data")
_LABELS = ("y", "labels", "label", "target", "targets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Npz:
    """Arrays from a `.npz` file.

    With names that carry a split (`x_train`, `y_train`, `x_test`, `y_test`; also `test_images`, `images_test`
    and the like) the file holds both splits; with plain names (`x`, `X`, `images` or `data`, and `y`,
    `labels`, `label`, `target` or `targets`) it holds one, `holds`, and the other is refused: a WNLL template
    taken from the test images would be told the answers. A warning says which were read, unless they are
    called x and y. `{split}` in the path stands for the name of the split, for two files.

    Attributes:
        path: the file; relative to the data root if one is given, else to the current folder.
        holds: the split that a file with plain names holds.
        classes: how many classes there are, or their names in label order; None for as many as the labels
            show, which are too few where images of the last classes are missing.
        title: what reports call the images; by default the file's name without its suffix.
    """

    info: ClassVar[Info] = Info(title="NumPy arrays", paper="the user's own data")
    path: str = ""
    holds: Literal["train", "test"] = "test"
    classes: int | tuple[str | int, ...] | None = None
    title: str = field(default="", metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse invalid classes."""
        check_classes(self.classes)

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, C, H, W), uint8 in 0..255 or float in [0, 1].

        Arrays (N, H, W) get their channel axis, and (N, H, W, 1 or 3) have it moved to the front.

        Args:
            split: `train` or `test`.
            root: folder in which a relative `path` is searched, and which it must not leave.
            download: not used.

        Raises:
            InputError: absent, broken, pickled objects inside, names missing, the other split only, more
                classes in the labels than `classes`, or images or labels that cannot be used.
        """
        from robench.data.images import image_set

        del download
        check_split(split, where="npz")
        path = resolved(self.path.replace("{split}", split), root, where="npz")
        # With a file per split its name says which split it contains.
        holds = split if "{split}" in self.path else self.holds
        images, labels = _arrays(path, split, holds)
        if images.ndim == 3:
            images = images[:, None]
        elif images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
            images = images.transpose(0, 3, 1, 2)
        classes = self.classes
        names = [str(name) for name in classes] if isinstance(classes, tuple) else classes
        return image_set(images, labels, name=self.title or path.stem, split=split, classes=names)

    def content(self, split: str, *, root: Path | None) -> str:
        """Return the SHA-256 of the file.

        Raises:
            InputError: it is absent, or cannot be read.
        """
        path = resolved(self.path.replace("{split}", split), root, where="npz")
        _check_exists(path)
        with open_regular(path, DATA, expected="a .npz archive") as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
        return digest.hexdigest()


def _check_exists(path: Path) -> None:
    if not path.exists() and not path.is_symlink():
        raise InputError(where="npz", expected=f"the file {path}", got="none", do=CORRECT)


def _arrays(path: Path, split: str, holds: str) -> tuple[NDArray[Any], NDArray[Any]]:
    _check_exists(path)
    with open_regular(path, DATA, expected="a .npz archive") as file:
        if file.read(6) == b"\x93NUMPY":
            raise InputError(where=str(path), expected="a .npz archive", got="a single array")
        try:
            with open_archive(file, where=str(path)) as archive:
                members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
                pair = _pick(list(members), path, split, holds)
                check = sum(members[name].file_size for name in pair)
                UNPACKED.check(check, where=str(path))
                images, labels = (read_array(archive, members[name], where=str(path)) for name in pair)
                return images, labels
        except BROKEN as error:
            got, expected = str(error) or "a broken file", "a .npz archive of plain arrays"
            raise InputError(where=str(path), expected=expected, got=got, do="Save it again") from error


def _pick(names: list[str], path: Path, split: str, holds: str) -> tuple[str, str]:
    """Return the names of the images and labels of a split."""
    plain = [(x, y) for x in _IMAGES for y in _LABELS] if split == holds else []
    with_split = [(f"{x}_{split}", f"{y}_{split}") for x in _IMAGES for y in _LABELS]
    with_split += [(f"{split}_{x}", f"{split}_{y}") for x in _IMAGES for y in _LABELS]
    # Names of earlier versions come first, so that the same arrays of a file are read as before.
    oldest = [(x, y) for x, y in plain if x in ("x", "images") and y in ("y", "labels")]
    pairs = [(f"x_{split}", f"y_{split}"), *oldest, *with_split, *plain]
    for x, y in pairs:
        if x in names and y in names:
            if (x, y) not in (("x", "y"), (f"x_{split}", f"y_{split}")):
                _LOG.warning("%s: read the images from %r and the labels from %r", path, x, y)
            return x, y
    if split != holds and {*_IMAGES} & set(names):
        do = f"Name the arrays x_{split} and y_{split}, or put '{{split}}' into the path, or set `holds`"
        raise InputError(where=str(path), expected=f"the {split} split", got=f"the {holds} split only", do=do)
    do = f"Name them x_{split} and y_{split}, or x and y"
    raise InputError(where=str(path), expected="arrays of images and labels", got=_shown(names), do=do)


def _shown(names: list[str]) -> str:
    return f"{names[:12]}"[:400] + (" and others" if len(names) > 12 else "") if names else "an empty archive"
