"""Pictures of a run folder: clean and adversarial images read row by row, and PNG to put into a page."""

from __future__ import annotations

import base64
import io
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.errors import StorageError
from robench.record.schema import Record
from robench.record.seal import NOTES, check_tensors
from robench.record.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.float32]
    """(C, H, W) in [0, 1], or a difference of two such."""

LARGEST = 96
"""Pixels of the longer side of a picture in a page; larger ones are reduced."""


class Pixels:
    """Reads single images of a run folder; a file is checked once from end to end, and never held whole.

    Args:
        root: the folder; with None no image is found.
    """

    def __init__(self, root: Path | None) -> None:
        self._store = None if root is None else Store(root)
        self._good: dict[Path, bool] = {}

    @cached_property
    def are_there(self) -> bool:
        """Whether the folder holds clean and adversarial images at all."""
        if self._store is None:
            return False
        files = (self._store.images("one"), self._store.adv("one"))
        return all(any(path.parent.glob(f"*{path.suffix}")) for path in files)

    def clean(self, record: Record, position: int) -> Picture | None:
        """Return the clean image at a position of a record, None if the folder does not hold it."""
        if self._store is None:
            return None
        try:
            path = self._store.images(record.dataset.digest)
        except StorageError:  # not a possible name of a shard
            return None
        row = self._row(path, "images", position, len(record.columns))
        return None if row is None else row.astype("float32") / 255

    def adversarial(self, record: Record, position: int) -> Picture | None:
        """Return the image that was judged at a position, None if the folder does not hold it."""
        if self._store is None:
            return None
        try:
            path = self._store.adv(record.provenance.crafted)
        except StorageError:
            return None
        row = self._row(path, "x_adv", position, len(record.columns))
        return None if row is None else row.astype("float32")

    def _row(self, path: Path, name: str, position: int, count: int) -> Any:
        """Return one row of a tensor (N, C, H, W); None if missing, damaged or of another length."""
        from safetensors import SafetensorError, safe_open

        if not self._whole(path):
            return None
        try:
            with safe_open(path, framework="np") as file:
                rows = file.get_slice(name)
                if len(rows.get_shape()) != 4 or rows.get_shape()[0] != count:
                    return None
                return rows[position : position + 1][0]
        except (SafetensorError, OSError, ValueError):
            return None

    def _whole(self, path: Path) -> bool:
        """Tell whether a file is there and as it was written."""
        if path not in self._good:
            try:
                self._good[path] = check_tensors(path, notes=NOTES)
            except StorageError:
                self._good[path] = False
        return self._good[path]


def png(picture: Picture) -> str:
    """Return a picture as the `data:` address of a PNG: grey for one channel, colour for three.

    Args:
        picture: (C, H, W) in [0, 1]; of another number of channels the first is shown.
    """
    import numpy as np
    from PIL import Image

    levels = (np.nan_to_num(picture).clip(0, 1) * 255).round().astype(np.uint8)
    channels = levels.transpose(1, 2, 0) if len(levels) == 3 else levels[0]
    image = Image.fromarray(np.ascontiguousarray(channels))
    if max(image.size) > LARGEST:
        image.thumbnail((LARGEST, LARGEST))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def magnified(noise: Picture) -> tuple[Picture, float]:
    """Return a difference of two images as a picture around middle grey, and by how much it was magnified.

    The largest change of the image becomes black or white, so that the pattern is seen whatever its size.
    """
    import numpy as np

    largest = float(np.abs(noise).max())
    scale = 0.5 / largest if largest > 0 else 1.0
    return 0.5 + scale * noise, scale
