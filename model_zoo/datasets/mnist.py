"""MNIST in torchvision's layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from model_zoo.datasets.downloads import check_downloads, fetching
from model_zoo.datasets.idx import FILES, load_idx
from model_zoo.datasets.places import data_root
from model_zoo.papers import LECUN_MNIST
from robench.recipe import Info

if TYPE_CHECKING:
    from robench.data.images import ImageSet

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

    info: ClassVar[Info] = Info(title="MNIST", paper="LeCun et al. 1998", bibtex=LECUN_MNIST)

    def __call__(self, split: str, *, root: Path | None = None, download: bool = False) -> ImageSet:
        """Return one split: images (N, 1, 28, 28) uint8, in file order.

        Args:
            split: `train` or `test`.
            root: folder that holds `MNIST/raw/`, None for the default cache.
            download: fetch the files with torchvision if they are absent.

        Raises:
            InputError: files absent, truncated or not IDX, or a download that failed or was altered.
        """

        def fetch() -> None:
            import torchvision.datasets

            with fetching("mnist"):
                torchvision.datasets.MNIST(root=str(data_root(root)), train=split == "train", download=True)
            hashes = {name: _SHA256[name] for name in FILES[split]}
            check_downloads(folder, hashes, algorithm="sha256")

        folder = data_root(root) / "MNIST" / "raw"
        allowed = fetch if download else None
        return load_idx(split, folder, where="mnist", name="MNIST", classes=10, fetch=allowed)
