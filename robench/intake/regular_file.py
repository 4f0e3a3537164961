"""The only way to read files: regular files (and links to them), up to a limit, without waiting."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from robench.errors import InputError, RobenchError
from robench.intake.limits import Limit, size_text
from robench.intake.memory_limit import check_memory

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@contextmanager
def open_regular(
    path: Path, limit: Limit, *, error: type[RobenchError] = InputError, expected: str = "a readable file"
) -> Iterator[BinaryIO]:
    """Open a regular file for reading; pipes, devices, sockets and folders are refused without waiting.

    Args:
        path: the file, or a link to one.
        limit: the most bytes it may have.
        error: what to raise.
        expected: what the file should be, for messages.

    Raises:
        RobenchError: of the kind `error`: absent, unreadable, not a regular file, or larger than the limit.
    """
    try:
        # Checked before it is opened: opening some devices has an effect.
        _check_kind(os.stat(path).st_mode, path, error, expected)
        # Without O_NONBLOCK, opening a pipe that has replaced the file since would wait for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        got = getattr(problem, "strerror", None) or str(problem)
        raise error(where=printable_path(path), expected=expected, got=got) from problem
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        _check_kind(status.st_mode, path, error, expected)
        limit.check(status.st_size, where=printable_path(path), error=error)
        yield file


def read_regular(
    path: Path, limit: Limit, *, error: type[RobenchError] = InputError, expected: str = "a readable file"
) -> bytes:
    """Return the contents of a regular file.

    Raises:
        RobenchError: of the kind `error`: as `open_regular`, or the contents do not fit into memory.
    """
    where = printable_path(path)
    with open_regular(path, limit, error=error, expected=expected) as file:
        size = os.fstat(file.fileno()).st_size
        check_memory(size, where=where, error=error)
        try:
            data = file.read(size + 1)
            if len(data) > size:  # it has grown since, or reports a size of 0, as files below /proc do
                data += file.read(limit.value() + 1 - len(data))
        except MemoryError as problem:
            got = f"{size_text(size)}, for which there is no memory"
            raise error(where=where, expected=expected, got=got) from problem
        except OSError as problem:
            got = problem.strerror or str(problem)
            raise error(where=where, expected=expected, got=got) from problem
        limit.check(len(data), where=where, error=error)
        return data


def printable_path(path: Path) -> str:
    """Return a path as text that can be printed, whatever bytes its name has."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _check_kind(mode: int, path: Path, error: type[RobenchError], expected: str) -> None:
    if stat.S_ISREG(mode):
        return
    got = next((name for test, name in _KINDS if test(mode)), "something that is not a file")
    do = "Give a regular file, or a link to one"
    raise error(where=printable_path(path), expected=expected, got=got, do=do)
