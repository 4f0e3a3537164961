"""MNIST and Fashion-MNIST in torchvision's layout: four IDX files of unsigned bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from model_zoo.datasets.files import check_downloads, check_split, data_root, fetching
from robench.errors import InputError
from robench.intake.limits import DATA
from robench.intake.regular_file import read_regular
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.data.images import ImageSet

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Hashes that a download must have. Files already there may be another set in the same format."""
_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _IDX:
    """Common code of both sets; the addresses are torchvision's."""

    info: ClassVar[Info]
    where: ClassVar[str]
    published: ClassVar[str]
    classes: ClassVar[Sequence[str] | int]
    hashes: ClassVar[Mapping[str, str]]

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 1, 28, 28) uint8, in file order.

        Args:
            split: `train` or `test`.
            root: folder that holds `MNIST/raw/` or `FashionMNIST/raw/`, None for the default cache.
            download: fetch the files with torchvision if they are absent.

        Raises:
            InputError: files absent, truncated or not IDX, or a download that failed or was altered.
        """
        from robench.data.images import image_set

        check_split(split, where=self.where)
        folder, names = data_root(root) / self.published / "raw", _FILES[split]
        if not all((folder / file).exists() for file in names):
            if not download:
                raise InputError(
                    where=self.where,
                    expected=f"the files {names[0]} and {names[1]} in {folder}",
                    got="none" if not folder.is_dir() else "not both of them",
                    do="Say where they are with `--data-root DIR`, or allow `--download`",
                )
            self._download(split, folder)
        images, labels = (read_idx(folder / file) for file in names)
        if images.ndim != 3 or labels.ndim != 1:
            shapes = f"{images.shape} and {labels.shape}"
            raise InputError(where=str(folder), expected="IDX images (N, H, W) and labels (N,)", got=shapes)
        return image_set(
            images[:, None], labels.astype("int64"), name=self.info.title, split=split, classes=self.classes
        )

    def _download(self, split: str, folder: Path) -> None:
        """Fetch the files of a split, and compare them with their known hashes."""
        import torchvision.datasets

        with fetching(self.where):
            source = getattr(torchvision.datasets, self.published)
            source(root=str(folder.parents[1]), train=split == "train", download=True)
        hashes = {name: self.hashes[name] for name in _FILES[split] if name in self.hashes}
        check_downloads(folder, hashes, algorithm="sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class MNIST(_IDX):
    """MNIST: 60,000 and 10,000 handwritten digits of 28x28 pixels."""

    info: ClassVar[Info] = Info(title="MNIST", paper="LeCun et al. 1998", bibtex=paper("lecun1998gradient"))
    where: ClassVar[str] = "mnist"
    published: ClassVar[str] = "MNIST"
    classes: ClassVar[Sequence[str] | int] = 10
    hashes: ClassVar[Mapping[str, str]] = _SHA256


@dataclass(frozen=True, slots=True, kw_only=True)
class FashionMNIST(_IDX):
    """Fashion-MNIST: 60,000 and 10,000 pictures of clothes of 28x28 pixels."""

    info: ClassVar[Info] = Info(
        title="Fashion-MNIST", paper="Xiao et al. 2017, arXiv:1708.07747", bibtex=paper("xiao2017fashion")
    )
    where: ClassVar[str] = "fashion_mnist"
    published: ClassVar[str] = "FashionMNIST"
    classes: ClassVar[Sequence[str] | int] = _CLASSES
    hashes: ClassVar[Mapping[str, str]] = {}  # torchvision compares the archives with the published MD5


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist).

    Raises:
        InputError: unreadable, another format, or not exactly as long as its header says.
    """
    import numpy as np

    data = read_regular(path, DATA)
    dimensions = data[3] if len(data) >= 4 else 0
    head = 4 + 4 * dimensions
    if data[:3] != b"\x00\x00\x08" or dimensions not in (1, 3) or len(data) < head:
        raise InputError(where=str(path), expected="an IDX file of bytes", got=f"the start {data[:4]!r}")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, head, 4))
    count = 1
    for side in shape:
        count *= side
    if len(data) - head != count:
        raise InputError(
            where=str(path),
            expected=f"{count} bytes for the shape {shape} its header gives",
            got=f"{len(data) - head}",
            do="The file is truncated or damaged: copy it again",
        )
    if count == 0:  # (0, 2^32 - 1, 2^32 - 1) holds no byte either, and numpy has no such array
        raise InputError(where=str(path), expected="a shape without 0", got=f"the shape {shape}")
    return np.frombuffer(data, dtype=np.uint8, offset=head).reshape(shape).copy()
