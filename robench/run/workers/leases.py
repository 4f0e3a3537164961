"""Leases: small files with a heartbeat that show which process does which job in a run folder.

Several `robench run` on one folder, on one machine or on several that share a disk, divide the work by them.
One process holds a lease at a time. If it is dead, another takes the lease over: at once on the same machine,
otherwise when its file was not touched for `STALE` seconds. Taking over too early only costs time: both
processes compute the same bits. No torch here.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from robench.errors import ConfigError, RobenchError, StorageError
from robench.record.files import read_json
from robench.run.workers.folder_lock import locked
from robench.run.workers.lease_holder import Lease, is_here, machine, this_process

STALE = 60.0
"""Seconds without a heartbeat after which a lease of another machine counts as abandoned."""

BEAT = 5.0
"""Seconds between two heartbeats."""

MOST = 65536
"""Most bytes that are read of a lease."""

GOODBYE = 1.0
"""Seconds to wait for the lock on leaving; after that the folder of leases is not deleted."""


class Leases:
    """The leases of one process in a run folder.

    Args:
        folder: folder of the files; made if it does not exist.
        stale: seconds after which a lease without a heartbeat counts as abandoned.
        beat: seconds between two heartbeats.
        check: called now and then while waiting for other processes; an exception in it ends the waiting.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stale: float = STALE,
        beat: float = BEAT,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._stale, self._beat, self._check = folder, stale, beat, check
        self._me = f"run-{secrets.token_hex(8)}"
        self._held: set[Path] = set()
        self._closed = threading.Event()
        self._changing = threading.Lock()

    @contextlib.contextmanager
    def joined(self, plan: str, *, alone: bool = False) -> Iterator[Leases]:
        """Take part in a run folder; on leaving, every lease is given back.

        Args:
            plan: hash of the plan; all processes in the folder must have the same.
            alone: let no other process take part at the same time.

        Raises:
            ConfigError: other processes have another plan, or one of them wants to be alone.
            StorageError: the folder refuses files or locks.
        """
        with self._exclusively():
            for other in self._others():
                self._refuse(other, plan, alone=alone)
            self._write(self._path(self._me), {"plan": plan, "alone": alone})
        thread = threading.Thread(target=self._keep_alive, name="robench-leases", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._closed.set()
            thread.join()
            for path in list(self._held):
                self._remove(path)
            # Under the lock, so that a process that is just joining does not lose the folder. While others
            # take part, the folder is not empty and stays.
            self._check = lambda: None
            with contextlib.suppress(OSError, RobenchError), self._exclusively(patience=GOODBYE):
                self._folder.rmdir()

    def take(self, name: str) -> bool:
        """Take a lease; False if a living process has it."""
        path = self._path(name)
        if path in self._held or self._write(path, {}):
            return True
        if not self._abandoned(path):
            return False
        with self._exclusively():
            if self._abandoned(path):
                self._clear(path)
            return self._write(path, {})

    def free(self, name: str) -> None:
        """Give a lease back."""
        self._remove(self._path(name))

    def others(self) -> int:
        """Return how many other living processes take part."""
        return sum(1 for _ in self._others())

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lease"

    def _write(self, path: Path, terms: Lease) -> bool:
        """Make the file of a lease, whole, unless there is one; tell whether it was made."""
        temporary = self._folder / f".{secrets.token_hex(8)}.new"
        text = json.dumps({**this_process(), **terms})
        try:
            try:
                temporary.write_text(text, "utf-8")
                _named(temporary, path, text)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            got = error.strerror or str(error)
            raise StorageError(where=str(path), expected="to write a lease", got=got) from error
        with self._changing:
            self._held.add(path)
        return True

    def _remove(self, path: Path) -> None:
        with self._changing:
            self._held.discard(path)
        with contextlib.suppress(OSError):
            path.unlink()

    def _clear(self, path: Path) -> None:
        """Delete the lease of another process.

        Raises:
            StorageError: it cannot be deleted.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            expected, got = "to take over an abandoned lease", error.strerror or str(error)
            raise StorageError(where=str(path), expected=expected, got=got, do="Delete it") from error

    def _others(self) -> Iterator[Lease]:
        for path in self._folder.glob("run-*.lease"):
            if path.stem == self._me:
                continue
            lease = _lease(path)
            # A process of this machine that is stopped (Ctrl-Z) makes no heartbeat, but it may go on later.
            if is_here(lease) or not self._abandoned(path):
                yield lease
            else:
                self._remove(path)

    def _refuse(self, other: Lease, plan: str, *, alone: bool) -> None:
        where = str(self._folder.parent)
        if alone or other.get("alone"):
            raise ConfigError(
                where=where,
                expected="a run folder that no other process uses",
                got="one that another robench process is writing to",
                do="Wait for it to finish, or choose another folder with --out",
            )
        if other.get("plan") != plan:
            raise ConfigError(
                where=where,
                expected="the configuration that other processes are running in this folder",
                got="another one",
                do="Use the same configuration and overrides, wait, or choose another folder with --out",
            )

    def _abandoned(self, path: Path) -> bool:
        """Tell whether the holder of a lease is dead, or has not been heard of for too long."""
        lease = _lease(path)
        if lease.get("machine") == machine() and not is_here(lease):
            return True
        now = self._now()
        try:
            # A heartbeat in the future is no sign of life either: a clock was set back, or another program
            # made the file.
            return abs(now - path.lstat().st_mtime) > self._stale
        except OSError:  # it has just been given back
            return True

    def _now(self) -> float:
        """Return the time by the clock of the disk, which all processes share.

        Raises:
            StorageError: writing to disk failed.
        """
        probe = self._path(self._me)
        with contextlib.suppress(FileNotFoundError):  # another process may have considered it abandoned
            os.utime(probe)
            return probe.stat().st_mtime
        probe = self._folder / f".{self._me}.clock"
        try:
            probe.touch()
            now = probe.stat().st_mtime
            probe.unlink()
        except OSError as error:
            got = error.strerror or str(error)
            raise StorageError(where=str(probe), expected="to write a lease", got=got) from error
        return now

    def _keep_alive(self) -> None:
        while not self._closed.wait(self._beat):
            with self._changing:
                paths = list(self._held)
            for path in paths:
                with contextlib.suppress(OSError):
                    os.utime(path)

    @contextlib.contextmanager
    def _exclusively(self, *, patience: float | None = None) -> Iterator[None]:
        """Lock the folder for a moment, and make sure that it exists."""
        with locked(self._folder.parent, patience=patience, check=self._check):
            try:
                self._folder.mkdir(exist_ok=True)  # only under the lock: the last process to leave deletes it
            except OSError as error:
                got = error.strerror or str(error)
                raise StorageError(where=str(self._folder), expected="a folder", got=got) from error
            yield


def _named(temporary: Path, path: Path, text: str) -> None:
    """Give a file its name unless the name is taken; without hard links, write a file of that name instead.

    Raises:
        FileExistsError: the name is taken.
        OSError: writing to disk failed.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        with path.open("x", encoding="utf-8") as file:  # even half-written, the lease counts as held
            try:
                file.write(text)
                file.flush()
            except OSError:  # a full disk
                path.unlink(missing_ok=True)
                raise


def _lease(path: Path) -> Lease:
    """Return what a lease says, {} where it is gone or no lease; a FIFO in its place is not waited for."""
    try:
        content = read_json(path, most=MOST)
    except StorageError:
        return {}
    return cast("Lease", content) if isinstance(content, dict) else {}
