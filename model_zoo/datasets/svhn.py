"""Street View House Numbers in torchvision's layout: one MATLAB file per split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from model_zoo.datasets.files import check_downloads, check_split, data_root, fetching
from model_zoo.datasets.matlab import read_mat
from robench.errors import InputError
from robench.intake.limits import DATA
from robench.intake.regular_file import read_regular
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    from robench.data.images import ImageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class SVHN:
    """SVHN, cropped: 73,257 and 26,032 house digits of 32x32 pixels; the file's label 10 is the digit 0."""

    info: ClassVar[Info] = Info(title="SVHN", paper="Netzer et al. 2011", bibtex=paper("netzer2011reading"))

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 3, 32, 32) uint8, in file order.

        Args:
            split: `train` or `test`.
            root: folder that holds `train_32x32.mat` and `test_32x32.mat`, None for the default cache.
            download: fetch the file if it is absent.

        Raises:
            InputError: the file is absent, damaged or of another layout, or a download failed or was altered.
        """
        from robench.data.images import image_set

        check_split(split, where="svhn")
        path = data_root(root) / f"{split}_32x32.mat"
        if not path.exists():
            if not download:
                do = "Say where it is with `--data-root DIR`, or allow `--download`"
                raise InputError(where="svhn", expected=f"the file {path}", got="none", do=do)
            _download(path, split)
        images, labels = _arrays(path)
        return image_set(images, labels, name="SVHN", split=split, classes=10)


def _arrays(path: Path) -> tuple[Any, Any]:
    """Return images (N, 3, 32, 32) uint8 and labels (N,) int64."""
    import numpy as np

    arrays = read_mat(read_regular(path, DATA), where=str(path))
    images, labels = np.asarray(arrays.get("X")), np.asarray(arrays.get("y"))
    if images.shape == (32, 32, 3):  # MATLAB drops the last axis of a single image
        images = images[..., None]
    integral = labels.dtype.kind in "ui" and labels.size == max(labels.shape, default=0)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3) or not integral:
        raise InputError(
            where=str(path),
            expected="X (32, 32, 3, N) of bytes and y (N, 1) of integers",
            got=f"{images.dtype}{images.shape} and {labels.dtype}{labels.shape}",
        )
    digits = labels.reshape(-1).astype(np.int64)
    digits[digits == 10] = 0
    return images.transpose(3, 2, 0, 1).copy(), digits


def _download(path: Path, split: str) -> None:
    import torchvision.datasets
    from torchvision.datasets.utils import download_url

    url, name, md5 = torchvision.datasets.SVHN.split_list[split]
    try:
        with fetching("svhn"):
            download_url(url, str(path.parent), name, md5)
    except InputError:
        path.unlink(missing_ok=True)  # torchvision leaves an altered file where the next run would read it
        raise
    check_downloads(path.parent, {name: md5}, algorithm="md5")
