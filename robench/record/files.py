"""Atomic writing of files, and careful reading of foreign files.

Writing: a temporary file in the same folder, fsync, rename, fsync of the folder. Reading: only regular files
of a plausible size, because an unpacked run folder of somebody else may contain anything.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from robench.errors import StorageError

STALE_SECONDS = 3600.0
_SUFFIX = ".robench-tmp"

MOST_RECORD = 2**28
"""Most bytes of a record: a record of a million images is smaller."""
MOST_TEXT = 2**26
"""Most bytes of any other text file in a run folder."""
MOST_TENSORS = 2**36
"""Most bytes of a tensor file."""

_FLAGS = ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
_OPENING = os.O_RDONLY | sum(getattr(os, name, 0) for name in _FLAGS)
_PIECE = 2**16
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, a crash or a power cut sees the old one or the new one, never a mixture.

    Raises:
        StorageError: writing to disk failed (full, read-only, gone); an older file is intact.
    """
    with _written(path, content) as temporary:
        os.replace(temporary, path)


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file like `write_atomic`, one piece after another.

    Raises:
        StorageError: writing to disk failed; an older file is intact.
    """
    with _written(path, pieces) as temporary:
        os.replace(temporary, path)


def write_new(path: Path, content: str | bytes) -> bool:
    """Write a file unless the name is taken, and tell whether it was written.

    Of two writers one wins, and its file is complete: the name is given by a hard link, which fails if the
    name is taken. On a file system without links the last writer wins.

    Raises:
        StorageError: writing to disk failed.
    """
    with _written(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:
            if os.path.lexists(path):
                return False
            os.replace(temporary, path)
    return True


def copy_atomic(source: Path, path: Path) -> None:
    """Copy a file atomically, by a hard link if the disk has links, otherwise by a copy.

    Args:
        source: a regular file.
        path: the new name, which must be free.

    Raises:
        StorageError: the source cannot be read, or writing to disk failed.
    """
    with contextlib.suppress(OSError):  # another disk, no links, or any other failure: copied below
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path)
        sync_folder(path.parent)
        return
    with open_regular(source, most=MOST_TENSORS) as stream, _written(path, stream) as temporary:
        os.replace(temporary, path)


@contextlib.contextmanager
def _written(path: Path, content: str | bytes | BinaryIO | Iterable[bytes]) -> Iterator[Path]:
    """Yield a temporary file with the content beside `path`; after its renaming make the new name durable."""
    # UTF-8 cannot encode a lone surrogate, which a name in a record may contain.
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as stream:
                if isinstance(data, bytes):
                    stream.write(data)
                elif isinstance(data, io.IOBase):
                    shutil.copyfileobj(data, stream)
                else:
                    stream.writelines(data)
                stream.flush()
                os.fsync(stream.fileno())
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            where=str(path),
            expected="to write the file",
            got=error.strerror or str(error),
            do=other_place(error),
        ) from error


def other_place(error: OSError) -> str:
    """Say what to do if a file or folder could not be made: free space, or choose another place."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "Free some space or choose another folder (--out), then run the same command again"
    return "Choose a folder that can be made and written to (--out, -o), then run the same command again"


@contextlib.contextmanager
def open_regular(path: Path | str, *, most: int) -> Iterator[BinaryIO]:
    """Open a file for reading if it is a regular file of at most `most` bytes; never wait for a writer.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: it is a folder, a FIFO, a device or a socket, is larger, or cannot be read.
    """
    handle = _handle(path, most)
    with open(handle, "rb") as stream:
        _check_regular(path, os.fstat(handle), most)
        yield stream


def read_regular(path: Path | str, *, most: int) -> bytes | None:
    """Return the bytes of a regular file, None if there is no such file.

    Raises:
        StorageError: it is not a regular file, larger than `most` bytes, or unreadable; names path and size.
    """
    try:
        return read_stamped(path, most=most)[0]
    except FileNotFoundError:
        return None


def read_stamped(path: Path | str, *, most: int) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a regular file, and its state before reading.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: as `read_regular`.
    """
    handle = _handle(path, most)
    try:
        status = os.fstat(handle)
        _check_regular(path, status, most)
        # In pieces: reading `most` bytes at once would allocate that much memory for every small file.
        data = os.read(handle, status.st_size + 1)
        if len(data) != status.st_size:  # otherwise everything was read
            while len(data) <= most and (piece := os.read(handle, _PIECE)):
                data += piece
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error), most) from None
    finally:
        os.close(handle)
    if len(data) > most:  # the file grew while it was read
        raise _unreadable(path, "more", most)
    return data, status


def _handle(path: Path | str, most: int) -> int:
    """Open a file like `open_regular`; the caller must check its kind again, as it may have been replaced."""
    try:
        _check_regular(path, os.stat(path), most)  # before opening: opening a device may have side effects
        return os.open(path, _OPENING)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _unreadable(path, getattr(error, "strerror", None) or str(error), most) from None


def read_text(path: Path | str, *, most: int = MOST_TEXT) -> str | None:
    """Return the UTF-8 text of a regular file, None if there is no such file.

    Raises:
        StorageError: as `read_regular`, or not UTF-8.
    """
    data = read_regular(path, most=most)
    return None if data is None else decoded(path, data)


def decoded(path: Path | str, data: bytes) -> str:
    """Return the text of a file's bytes.

    Raises:
        StorageError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StorageError(where=str(path), expected="text in UTF-8", got=str(error)) from None


def read_json(path: Path, *, most: int = MOST_TEXT) -> Any:
    """Return the contents of a regular JSON file, None if there is no such file.

    Raises:
        StorageError: as `read_text`, or not JSON.
    """
    text = read_text(path, most=most)
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StorageError(where=str(path), expected="readable JSON", got=str(error)) from None


def _check_regular(path: Path | str, status: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((text for test, text in _KINDS if test(status.st_mode)), "something else")
        raise _unreadable(path, kind, most)
    if status.st_size > most:
        raise _unreadable(path, f"{status.st_size} bytes", most)


def _unreadable(path: Path | str, got: str, most: int) -> StorageError:
    return StorageError(where=str(path), expected=f"a readable file of at most {most} bytes", got=got)


def sweep(folder: Path, *, older_than: float = STALE_SECONDS) -> int:
    """Delete temporary files of killed writers, and return their number.

    Args:
        folder: the folder, without subfolders.
        older_than: least age in seconds; a younger file may belong to a living writer.
    """
    count = 0
    for leftover in folder.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > older_than:
                leftover.unlink()
                count += 1
    return count


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, if the system can open folders.

    Raises:
        OSError: writing to disk failed.
    """
    if os.name != "posix":  # Windows cannot open a folder, and its rename is durable
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
