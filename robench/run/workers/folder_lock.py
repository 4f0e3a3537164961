"""A lock, so that one process at a time reads and changes the leases of a run folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from robench.errors import ConfigError, StorageError

PATIENCE = 30.0
"""Seconds to wait for another process to release the lock."""

LOOK = 0.5
"""Seconds between two checks whether to go on waiting."""


@contextlib.contextmanager
def locked(folder: Path, *, check: Callable[[], None], patience: float | None = None) -> Iterator[None]:
    """Lock a run folder for a moment; the operating system unlocks it when the process ends for any reason.

    Args:
        folder: the run folder; made if it does not exist.
        check: called now and then while another process has the lock; an exception in it ends the waiting.
        patience: seconds to wait for it; by default `PATIENCE`.

    Raises:
        ConfigError: another process holds the lock for too long.
        StorageError: the folder refuses locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        _acquire(lock, time.monotonic() + (PATIENCE if patience is None else patience), check)
    except Timeout:
        raise ConfigError(
            where=str(folder),
            expected="a run folder that can be locked",
            got="one whose lock another process holds",
            do="Wait for it to finish, or choose another folder with --out",
        ) from None
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        got = getattr(error, "strerror", None) or str(error)
        raise StorageError(where=str(folder), expected="to lock the folder", got=got) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, deadline: float, check: Callable[[], None]) -> None:
    """Wait for a lock until a time by `time.monotonic`."""
    while True:
        try:
            lock.acquire(timeout=min(LOOK, max(deadline - time.monotonic(), 0)))
            return
        except Timeout:
            check()
            if time.monotonic() >= deadline:
                raise
