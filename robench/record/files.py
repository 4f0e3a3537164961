"""Files that are whole or absent, and files of others read with care.

Written by a temporary file in the same folder, fsync, rename, fsync of the folder. Read only where they are
regular files of a size that can be meant: whoever unpacks a run folder does not know what lies in it.
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
"""Most bytes of a record: a million images have less."""
MOST_TEXT = 2**26
"""Most bytes of any other file of text in a run folder."""
MOST_TENSORS = 2**36
"""Most bytes of a file of tensors."""

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
        StorageError: the disk refused (full, read-only, gone); an older file is intact.
    """
    with _written(path, content) as temporary:
        os.replace(temporary, path)


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file as `write_atomic` does, one piece after another.

    Raises:
        StorageError: the disk refused; an older file is intact.
    """
    with _written(path, pieces) as temporary:
        os.replace(temporary, path)


def write_new(path: Path, content: str | bytes) -> bool:
    """Write a file unless there is one of that name, and tell whether it was written.

    Of two writers one wins, and its file is whole: the name is given by a hard link, which fails where it is
    taken. On a file system without links the last writer wins.

    Raises:
        StorageError: the disk refused.
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
    """Give a file another name, by a link where the disk has links, else by a copy: whole or not at all.

    Args:
        source: a regular file.
        path: the new name, which is not taken.

    Raises:
        StorageError: the source cannot be read, or the disk refused.
    """
    with contextlib.suppress(OSError):  # another disk, a disk without links, or one that refuses: see below
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path)
        sync_folder(path.parent)
        return
    with open_regular(source, most=MOST_TENSORS) as stream, _written(path, stream) as temporary:
        os.replace(temporary, path)


@contextlib.contextmanager
def _written(path: Path, content: str | bytes | BinaryIO | Iterable[bytes]) -> Iterator[Path]:
    """Give a temporary file beside `path` that holds the content, and see to it that its new name lasts."""
    # A lone surrogate, which a name in a record may hold, has no place in UTF-8.
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
    """Say what to do where a file or folder could not be made: free space, or choose another place."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "Free some space or choose another folder (--out), then run the same command again"
    return "Choose a folder that can be made and written to (--out, -o), then run the same command again"


@contextlib.contextmanager
def open_regular(path: Path | str, *, most: int) -> Iterator[BinaryIO]:
    """Open a file for reading if it is a regular one of at most so many bytes; never wait for a writer.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is a folder, a FIFO, a device or a socket, is larger, or cannot be read.
    """
    handle = _handle(path, most)
    with open(handle, "rb") as stream:
        _check_regular(path, os.fstat(handle), most)
        yield stream


def read_regular(path: Path | str, *, most: int) -> bytes | None:
    """Return the bytes of a regular file, None where there is none.

    Raises:
        StorageError: it is no regular file, larger than `most` bytes, or cannot be read; names path and size.
    """
    try:
        return read_stamped(path, most=most)[0]
    except FileNotFoundError:
        return None


def read_stamped(path: Path | str, *, most: int) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a regular file, and what it was before they were read.

    Raises:
        FileNotFoundError: there is none.
        StorageError: as `read_regular`.
    """
    handle = _handle(path, most)
    try:
        status = os.fstat(handle)
        _check_regular(path, status, most)
        # A piece at a time: room for `most` bytes would be taken from memory for every small file.
        data = os.read(handle, status.st_size + 1)
        if len(data) != status.st_size:  # else there was no more to read
            while len(data) <= most and (piece := os.read(handle, _PIECE)):
                data += piece
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error), most) from None
    finally:
        os.close(handle)
    if len(data) > most:  # it grew while it was read
        raise _unreadable(path, "more", most)
    return data, status


def _handle(path: Path | str, most: int) -> int:
    """Open a file as `open_regular` does; what it is must be looked at once more, for it may be another."""
    try:
        _check_regular(path, os.stat(path), most)  # before it is opened: opening a device may do something
        return os.open(path, _OPENING)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _unreadable(path, getattr(error, "strerror", None) or str(error), most) from None


def read_text(path: Path | str, *, most: int = MOST_TEXT) -> str | None:
    """Return the text of a regular file in UTF-8, None where there is none.

    Raises:
        StorageError: as `read_regular`, or not UTF-8.
    """
    data = read_regular(path, most=most)
    return None if data is None else decoded(path, data)


def decoded(path: Path | str, data: bytes) -> str:
    """Return the text that a file holds.

    Raises:
        StorageError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StorageError(where=str(path), expected="text in UTF-8", got=str(error)) from None


def read_json(path: Path, *, most: int = MOST_TEXT) -> Any:
    """Return what a regular file of JSON holds, None where there is none.

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


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can open folders.

    Raises:
        OSError: the disk refused.
    """
    if os.name != "posix":  # Windows cannot open a folder, and its rename is durable
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
