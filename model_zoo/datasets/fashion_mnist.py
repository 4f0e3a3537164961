"""Fashion-MNIST in torchvision's layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from model_zoo.datasets.downloads import fetching
from model_zoo.datasets.idx import load_idx
from model_zoo.datasets.places import data_root
from model_zoo.papers import XIAO_FASHION
from robench.recipe import Info

if TYPE_CHECKING:
    from robench.data.images import ImageSet

_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FashionMNIST:
    """Fashion-MNIST: 60,000 and 10,000 pictures of clothes of 28x28 pixels."""

    info: ClassVar[Info] = Info(
        title="Fashion-MNIST", paper="Xiao et al. 2017, arXiv:1708.07747", bibtex=XIAO_FASHION
    )

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 1, 28, 28) uint8, in file order.

        Args:
            split: `train` or `test`.
            root: folder that holds `FashionMNIST/raw/`, None for the default cache.
            download: fetch the files with torchvision if they are absent.

        Raises:
            InputError: files absent, truncated or not IDX, or a download that failed or was altered.
        """

        def fetch() -> None:
            import torchvision.datasets

            with fetching("fashion_mnist"):  # torchvision compares the archives with the published MD5
                torchvision.datasets.FashionMNIST(
                    root=str(data_root(root)), train=split == "train", download=True
                )

        return load_idx(
            split,
            data_root(root) / "FashionMNIST" / "raw",
            where="fashion_mnist",
            name="Fashion-MNIST",
            classes=_CLASSES,
            fetch=fetch if download else None,
        )
