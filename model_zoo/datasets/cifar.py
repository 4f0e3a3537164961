"""CIFAR-10 and CIFAR-100 in torchvision's layout: the pickles of the official archives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from model_zoo.datasets.cifar_pickle import integers, pixels, read_batch, texts
from model_zoo.datasets.files import check_downloads, check_split, data_root, fetching
from robench.errors import InputError
from robench.intake.limits import DATA
from robench.intake.regular_file import read_regular
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    from robench.data.images import ImageSet

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cifar:
    """Common code of both sets; the archive's address and hashes are torchvision's."""

    info: ClassVar[Info]
    where: ClassVar[str]
    published: ClassVar[str]
    folder: ClassVar[str]
    files: ClassVar[dict[str, tuple[str, ...]]]
    labels: ClassVar[str]
    meta: ClassVar[tuple[str, str]]

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 3, 32, 32) uint8, in file order.

        Args:
            split: `train` or `test`.
            root: folder that holds `cifar-10-batches-py` or `cifar-100-python`, None for the default cache.
            download: fetch the archive if a file is absent.

        Raises:
            InputError: files absent or damaged, a pickle that asks for code (it is not run), or a download
                that failed or was altered.
        """
        import numpy as np

        from robench.data.images import image_set

        check_split(split, where=self.where)
        folder = data_root(root) / self.folder
        names = [*self.files[split], self.meta[0]]
        absent = [name for name in names if not (folder / name).exists()]
        if absent and not download:
            raise InputError(
                where=self.where,
                expected=f"the files {', '.join(names)} in {folder}",
                got=f"no {absent[0]}",
                do="Say where they are with `--data-root DIR`, or allow `--download`",
            )
        if absent:
            self._download(data_root(root))
        meta = _read(folder / self.meta[0])
        images, labels = [], []
        for name in self.files[split]:
            where = str(folder / name)
            batch = _read(folder / name)
            images.append(pixels(batch, "data", width=_PIXELS, where=where))
            labels.append(integers(batch, self.labels, where=where))
            if len(images[-1]) != len(labels[-1]):
                got = f"{len(images[-1])} images and {len(labels[-1])} labels"
                raise InputError(where=where, expected="a label for each image", got=got)
        return image_set(
            np.concatenate(images).reshape(-1, 3, 32, 32),
            np.concatenate(labels),
            name=self.info.title,
            split=split,
            classes=texts(meta, self.meta[1], where=str(folder / self.meta[0])),
        )

    def _download(self, root: Path) -> None:
        """Fetch the archive, unpack it, and compare it and every file with the published MD5."""
        import torchvision.datasets
        from torchvision.datasets.utils import download_and_extract_archive

        source: Any = getattr(torchvision.datasets, self.published)
        with fetching(self.where):
            download_and_extract_archive(source.url, str(root), filename=source.filename, md5=source.tgz_md5)
        hashes = dict((*source.train_list, *source.test_list))
        hashes[source.meta["filename"]] = source.meta["md5"]
        check_downloads(root / self.folder, hashes, algorithm="md5")


@dataclass(frozen=True, slots=True, kw_only=True)
class CIFAR10(_Cifar):
    """CIFAR-10: 50,000 and 10,000 pictures of 32x32 pixels in ten classes."""

    info: ClassVar[Info] = Info(
        title="CIFAR-10", paper="Krizhevsky 2009", bibtex=paper("krizhevsky2009learning")
    )
    where: ClassVar[str] = "cifar10"
    published: ClassVar[str] = "CIFAR10"
    folder: ClassVar[str] = "cifar-10-batches-py"
    files: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
        "test": ("test_batch",),
    }
    labels: ClassVar[str] = "labels"
    meta: ClassVar[tuple[str, str]] = ("batches.meta", "label_names")


@dataclass(frozen=True, slots=True, kw_only=True)
class CIFAR100(_Cifar):
    """CIFAR-100: 50,000 and 10,000 pictures of 32x32 pixels in a hundred classes."""

    info: ClassVar[Info] = Info(
        title="CIFAR-100", paper="Krizhevsky 2009", bibtex=paper("krizhevsky2009learning")
    )
    where: ClassVar[str] = "cifar100"
    published: ClassVar[str] = "CIFAR100"
    folder: ClassVar[str] = "cifar-100-python"
    files: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train",), "test": ("test",)}
    labels: ClassVar[str] = "fine_labels"
    meta: ClassVar[tuple[str, str]] = ("meta", "fine_label_names")


def _read(path: Path) -> dict[str, Any]:
    return read_batch(read_regular(path, DATA), where=str(path))
