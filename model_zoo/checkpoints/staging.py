"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from robench.errors import StorageError


class Staged:
    """Files written and flushed beside their targets; nothing is visible before `commit`.

    All that a full disk can refuse happens while staging, so a refusal leaves the older files intact.

    Args:
        files: target path to contents.

    Raises:
        StorageError: the disk refused.
    """

    def __init__(self, files: dict[Path, bytes]) -> None:
        self._pending: list[tuple[Path, Path]] = []
        try:
            for target, data in files.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                # The ending is that of robench.record.files, whose sweep removes what a killed process left.
                temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.robench-tmp")
                self._pending.append((temporary, target))
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            self.discard()
            raise _refused(next(iter(files)), error) from error

    def commit(self) -> None:
        """Put every file in its place, in the order given, and make the folder remember it.

        Raises:
            StorageError: the disk refused; files not yet replaced are intact.
        """
        try:
            for temporary, target in self._pending:
                os.replace(temporary, target)
            for folder in {target.parent for _, target in self._pending}:
                _sync_folder(folder)
        except OSError as error:
            self.discard()
            raise _refused(self._pending[0][1], error) from error

    def discard(self) -> None:
        """Remove the temporary files."""
        for temporary, _ in self._pending:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder, and keeps renames in its journal
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        where=str(path),
        expected="to write the file",
        got=error.strerror or str(error),
        do="Free space or choose another folder; an older file is intact",
    )
