"""Data sets in MNIST's layout: four IDX files of unsigned bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.datasets.places import check_split
from robench.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.data.images import ImageSet

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def load_idx(
    split: str,
    folder: Path,
    *,
    where: str,
    name: str,
    classes: Sequence[str] | int,
    fetch: Callable[[], None] | None,
) -> ImageSet:
    """Return one split of ten classes: images (N, 1, H, W) uint8, in file order.

    Args:
        split: `train` or `test`.
        folder: holds the files.
        where: the data set's plugin, for messages.
        name: what a table calls the data.
        classes: class names, or how many.
        fetch: brings absent files into the folder and checks them; None where that is not allowed.

    Raises:
        InputError: files absent, truncated or not IDX, or what `fetch` raises.
    """
    from robench.data.images import image_set

    check_split(split, where=where)
    names = FILES[split]
    if not all((folder / file).is_file() for file in names):
        if fetch is None:
            raise InputError(
                where=where,
                expected=f"the files {names[0]} and {names[1]} in {folder}",
                got="none" if not folder.is_dir() else "not both of them",
                do="Say where they are with `--data-root DIR`, or allow `--download`",
            )
        fetch()
    images, labels = (read_idx(folder / file) for file in names)
    if images.ndim != 3 or labels.ndim != 1:
        shapes = f"{images.shape} and {labels.shape}"
        raise InputError(where=str(folder), expected="IDX images (N, H, W) and labels (N,)", got=shapes)
    return image_set(images[:, None], labels.astype("int64"), name=name, split=split, classes=classes)


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
