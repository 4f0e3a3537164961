"""MNIST in torchvision's layout, read from its four IDX files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from model_zoo.datasets.places import check_split, data_root
from robench.errors import InputError
from robench.recipe import Info

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.data import ImageSet

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
"""What a download must hash to. Files already there may be another set in the same format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MNIST:
    """MNIST: 60,000 and 10,000 handwritten digits of 28x28 pixels."""

    info: ClassVar[Info] = Info(title="MNIST", paper="LeCun et al. 1998")

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 1, 28, 28) uint8, in file order.

        Args:
            split: `train` or `test`.
            root: folder that holds `MNIST/raw/`, None for the default cache.
            download: fetch the files with torchvision if they are absent.

        Raises:
            InputError: files absent, truncated or not IDX, or a download that failed or was altered.
        """
        from robench.data import image_set

        check_split(split, where="mnist")
        folder = data_root(root) / "MNIST" / "raw"
        names = _FILES[split]
        if not all((folder / name).is_file() for name in names):
            if not download:
                raise InputError(
                    where="mnist",
                    expected=f"the files {names[0]} and {names[1]} in {folder}",
                    got="none" if not folder.is_dir() else "not both of them",
                    do="Say where they are with `--data-root DIR`, or allow `--download`",
                )
            _download(data_root(root), train=split == "train")
            for name in names:
                _check_download(folder / name)
        images, labels = (read_idx(folder / name) for name in names)
        if images.ndim != 3 or labels.ndim != 1:
            shapes = f"{images.shape} and {labels.shape}"
            raise InputError(where=str(folder), expected="IDX images (N, H, W) and labels (N,)", got=shapes)
        return image_set(images[:, None], labels.astype("int64"), name="MNIST", split=split, classes=10)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist).

    Raises:
        InputError: unreadable, another format, or not exactly as long as its header says.
    """
    import numpy as np

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(where=str(path), expected="a readable file", got=str(error)) from error
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
    return np.frombuffer(data, dtype=np.uint8, offset=head).reshape(shape).copy()


def _download(root: Path, *, train: bool) -> None:
    import torchvision.datasets

    try:
        torchvision.datasets.MNIST(root=str(root), train=train, download=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong MD5 a RuntimeError
        do = "Fetch the files by other means and pass `--data-root DIR`"
        raise InputError(where="mnist", expected="to download", got=str(error), do=do) from error


def _check_download(path: Path) -> None:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(where=str(path), expected="a downloaded file", got=str(error)) from error
    if digest != _SHA256[path.name]:
        path.unlink()
        raise InputError(
            where=str(path),
            expected=f"a download with SHA-256 {_SHA256[path.name]}",
            got=digest,
            do="The file was altered on its way and has been removed: try again later or elsewhere",
        )
