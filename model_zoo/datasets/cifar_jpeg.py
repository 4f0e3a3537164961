"""CIFAR-10 re-encoded as JPEG files in one zip."""

from __future__ import annotations

import hashlib
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from model_zoo.datasets.files import check_member, check_split, data_root
from model_zoo.datasets.npy_member import BROKEN
from model_zoo.datasets.pictures import decode, stacked
from robench.errors import InputError
from robench.intake.archives import open_archive, read_member
from robench.intake.limits import DATA, UNPACKED
from robench.intake.regular_file import open_regular
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    from model_zoo.datasets.pictures import Pixels
    from robench.data.images import ImageSet
    from robench.data.listing import Listing

_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_PIXEL_BYTES = 3 * 32 * 32
_LARGEST_MEMBER = 1 << 20
"""Bytes; a 32x32 JPEG has about a thousand, so more means a bomb or another archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CIFAR10JPEG:
    """CIFAR-10 with every image re-encoded as JPEG; its name says so because this changes pixels.

    The copy has lost the order across classes. Ours is fixed: blocks of ten images, one of each class, in
    an order drawn from hashes of the file names, so the first n images are balanced to within one.
    """

    info: ClassVar[Info] = Info(
        title="CIFAR-10 (JPEG copy)",
        paper="Krizhevsky 2009; JPEG re-encoding",
        bibtex=paper("krizhevsky2009learning"),
    )

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 3, 32, 32) uint8.

        Args:
            split: `train` or `test`.
            root: folder that holds `cifar10-jpeg.zip`, None for the default cache.
            download: not used: the copy has no public address.

        Raises:
            InputError: the zip is absent or broken, has a member that would leave it, or a picture is bad.
        """
        del download
        return self.listing(split, root=root).images()

    def listing(self, split: str, *, root: Path | None) -> Listing:
        """Return the labels of one split, and how to read its pictures.

        Raises:
            InputError: the zip is absent or broken, or has a member that would leave it.
        """
        import numpy as np

        from robench.data.listing import Listing

        check_split(split, where="cifar10-jpeg")
        path = data_root(root) / "cifar10-jpeg.zip"
        if not path.exists():
            do = "Say where it is with `--data-root DIR`; it cannot be downloaded"
            raise InputError(where="cifar10-jpeg", expected=f"the file {path}", got="none", do=do)
        with ExitStack() as stack, _whole(path):
            archive = stack.enter_context(_opened(path))
            members = _members(archive, split, where=str(path))
            # Its table of 60,000 members is read once, for labels and pictures.
            weakref.finalize(archive, stack.pop_all().close)

        def read(positions: Sequence[int]) -> Pixels:
            names = [members[position][0] for position in positions]
            with _whole(path):
                pictures = [
                    decode(
                        read_member(archive, archive.getinfo(name), where=str(path)), where=f"{path}:{name}"
                    )
                    for name in names
                ]
            return stacked(pictures, names, where=str(path))

        return Listing(
            name="CIFAR-10 (JPEG copy)",
            split=split,
            labels=np.array([label for _, label in members], dtype=np.int64),
            classes=_CLASSES,
            read=read,
        )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with open_regular(path, DATA) as file:
        yield open_archive(file, where=str(path))


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn any error of the archive, when it is opened or while it is read, into one error."""
    try:
        yield
    except BROKEN as error:
        got = str(error) or type(error).__name__
        do = "Copy the file again"
        raise InputError(where=str(path), expected="a whole zip archive", got=got, do=do) from error


def _members(archive: zipfile.ZipFile, split: str, *, where: str) -> list[tuple[str, int]]:
    """Return (name, label) of a split's pictures in the fixed order."""
    of_class: dict[str, list[str]] = {name: [] for name in _CLASSES}
    bytes_ = 0
    for member in archive.infolist():
        parts = check_member(member.filename, where=where)
        if member.is_dir() or not parts or parts[0] != split:
            continue
        if len(parts) != 3 or parts[1] not in of_class:
            raise InputError(where=where, expected=f"{split}/<class>/<picture>", got=member.filename)
        if member.file_size > _LARGEST_MEMBER:
            got = f"{member.filename} of {member.file_size} bytes"
            raise InputError(where=where, expected="pictures of 32 by 32", got=got)
        of_class[parts[1]].append(member.filename)
        bytes_ += _PIXEL_BYTES
    UNPACKED.check(bytes_, where=where)
    empty = [name for name, names in of_class.items() if not names]
    if empty:
        raise InputError(where=where, expected="ten classes", got=f"no {split} pictures of {empty[0]!r}")
    entries = [
        (block, _scramble(f"{block}/{label}"), name, label)
        for label, names in enumerate(of_class.values())
        for block, name in enumerate(sorted(names, key=_scramble))
    ]
    return [(name, label) for _, _, name, label in sorted(entries)]


def _scramble(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
