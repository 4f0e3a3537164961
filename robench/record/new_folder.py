"""A run folder that is made for a command, and goes again where that is refused before it keeps anything."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from robench.record.folder import PARTS, RunFolder

_BESIDE = (".lock",)
"""Files that those who only look into a folder leave."""


@contextlib.contextmanager
def prepared(folder: RunFolder) -> Iterator[None]:
    """Make a run folder; where the work in it raises and nothing was kept, take away what was made.

    Nothing that was there before goes, and no file but the lock.

    Raises:
        StorageError: the folder cannot be made.
    """
    root = folder.root
    places = [*(root / part for part in PARTS), *(root / name for name in _BESIDE), root, *root.parents]
    new = [place for place in places if not os.path.lexists(place)]
    try:
        folder.prepare()
        yield
    except BaseException:
        if _is_empty(root):
            # Whoever begins in the same folder in this moment finds it gone, and says so.
            with contextlib.suppress(OSError):
                for place in new:
                    _remove(place)
        raise


def _is_empty(root: Path) -> bool:
    """Tell whether a run folder holds nothing but empty parts; one that others use holds their leases."""
    try:
        return all(
            path.name in _BESIDE or (path.name in PARTS and not any(path.iterdir()))
            for path in root.iterdir()
        )
    except OSError:
        return False


def _remove(place: Path) -> None:
    """Delete a file, or a folder that is empty.

    Raises:
        OSError: it is a folder that holds something, or the disk refused.
    """
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
