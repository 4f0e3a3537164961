"""Files that are whole or absent: temporary file in the same folder, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from robench.errors import StorageError

STALE_SECONDS = 3600.0
_SUFFIX = ".robench-tmp"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, a crash or a power cut sees the old one or the new one, never a mixture.

    Raises:
        StorageError: the disk refused (full, read-only, gone); an older file is intact.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            where=str(path),
            expected="to write the file",
            got=error.strerror or str(error),
            do="Free some space or choose another folder with --out, then run the same command again",
        ) from error


def sweep(folder: Path, *, older_than: float = STALE_SECONDS) -> int:
    """Delete what killed writers left behind and return how many files that were.

    Args:
        folder: where to look, without subfolders.
        older_than: age in seconds; a younger one may belong to a writer that is alive.
    """
    count = 0
    for leftover in folder.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > older_than:
                leftover.unlink()
                count += 1
    return count


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder, and its rename is durable
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
