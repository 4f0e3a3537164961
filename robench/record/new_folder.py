"""A run folder that is made for a command, and deleted if the command fails before it stores anything."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from robench.record.folder import PARTS, RunFolder

_BESIDE = (".lock",)
"""Files that remain from reading a folder."""


@contextlib.contextmanager
def prepared(folder: RunFolder) -> Iterator[None]:
    """Make a run folder; if the work in it raises and nothing was stored, delete the new parts.

    Nothing that existed before is deleted, and no file except the lock.

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
            # A process that begins in the same folder at this moment finds it gone, and reports that.
            with contextlib.suppress(OSError):
                for place in new:
                    _remove(place)
        raise


def _is_empty(root: Path) -> bool:
    """Tell whether a run folder has only empty parts; a folder in use by others has their leases."""
    try:
        return all(
            path.name in _BESIDE or (path.name in PARTS and not any(path.iterdir()))
            for path in root.iterdir()
        )
    except OSError:
        return False


def _remove(place: Path) -> None:
    """Delete a file, or an empty folder.

    Raises:
        OSError: the folder is not empty, or deleting failed.
    """
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
