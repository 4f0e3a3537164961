"""The paths in a run folder, its lock, and damaged files that are set aside. No record is read here."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench.errors import ConfigError, StorageError
from robench.record.files import other_place, read_json, sweep, write_atomic
from robench.record.journal import JOURNAL, KEY

PARTS = ("units", "adv", "data", "geometry", "models", "errors")

MOST_NAMED = 5
"""Most runs inside a folder that an error message names."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem: what it is about, and its text."""

    about: str
    text: str

    @classmethod
    def of(cls, about: str, error: StorageError) -> Fault:
        """Return the fault of a file that cannot be read."""
        return cls(about, f"expected {error.expected}, got {error.got}")


class RunFolder:
    """The paths of a run folder.

    Args:
        root: the folder; it is made by `prepare`.
        told: called with a text about each damaged file, which is then moved into `damaged`; None for a
            reader, which changes nothing.
    """

    def __init__(self, root: Path, *, told: Callable[[str], None] | None = None) -> None:
        self.root, self.told = root, told
        self._units = str(root / "units")
        self._noted: set[str] = set()  # keys in the journal, as far as this process knows

    def prepare(self) -> None:
        """Make the folder and its parts, and delete temporary files of killed writers.

        A file with the name of a part, and a record whose name is not a key, are set aside.

        Raises:
            StorageError: the folder cannot be made.
        """
        for part in PARTS:
            folder = self.root / part
            if os.path.lexists(folder) and not folder.is_dir():
                self.set_aside(folder, "expected a folder")
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                got = error.strerror or str(error)
                raise StorageError(
                    where=str(folder), expected="to make the folder", got=got, do=other_place(error)
                ) from error
            sweep(folder)
        sweep(self.root)
        lock = self.root / ".lock"
        if os.path.lexists(lock) and not lock.is_file():
            self.set_aside(lock, "expected a file")
        for stray in self.strays():
            self.set_aside(stray, "a name that is no key")

    def set_aside(self, path: Path, why: str) -> Path:
        """Move a damaged file, or anything else in its place, into `damaged`, and report it.

        Args:
            path: the file; another process may have moved it before.
            why: what is wrong with it.

        Returns:
            Its new path.

        Raises:
            StorageError: writing to disk failed.
        """
        name = str(path.relative_to(self.root)).replace(os.sep, "-")
        aside = self.root / "damaged" / f"{name[:150]}.{secrets.token_hex(4)}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, aside)
        except FileNotFoundError:
            return aside
        except OSError as error:
            got = error.strerror or str(error)
            raise StorageError(where=str(path), expected="to move it into `damaged`", got=got) from error
        if self.told:
            self.told(f"{path.relative_to(self.root)} is damaged ({why}); moved to damaged/{aside.name}")
        return aside

    def unit(self, key: str) -> Path:
        """Return the path of a record."""
        return Path(self.unit_file(key))

    def unit_file(self, key: str) -> str:
        """Return the same as text, because making many path objects is slow."""
        return f"{self._units}{os.sep}{_plain(key)}.json"

    def adv(self, key: str) -> Path:
        """Return the path of a file of adversarial images."""
        return self.root / "adv" / f"{_plain(key)}.safetensors"

    def images(self, digest: str) -> Path:
        """Return the path of a shard's clean images."""
        return self.root / "data" / f"{_plain(digest)}.safetensors"

    def snapshot(self, key: str) -> Path:
        """Return the path of a model's stored features."""
        return self.root / "geometry" / f"{_plain(key)}.safetensors"

    def model(self, key: str) -> Path:
        """Return the folder of a trained network."""
        return self.root / "models" / _plain(key)

    def error(self, key: str) -> Path:
        """Return the path of a failure's error file."""
        return self.root / "errors" / f"{_plain(key)}.json"

    def forget_error(self, key: str) -> None:
        """Delete the error file of a unit or job, if there is one, because it has succeeded since."""
        with contextlib.suppress(OSError):
            self.error(key).unlink()

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run itself, such as `config.yaml`.

        Raises:
            StorageError: writing to disk failed; the older file is intact.
        """
        write_atomic(self.root / name, text)

    def write_json(self, name: str, data: Any) -> None:
        """Write a file of the run itself as JSON, such as `run.json`.

        Raises:
            StorageError: writing to disk failed; the older file is intact.
        """
        self.write_text(name, json.dumps(data, indent=1, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Return the contents of a JSON file of the run itself, None if there is no such file.

        Raises:
            StorageError: it cannot be read or is not JSON.
        """
        return read_json(self.root / name)

    def keys(self) -> list[str]:
        """Return the sorted keys of all files in `units`, readable or not.

        Raises:
            StorageError: the folder cannot be listed.
        """
        return sorted(name[:-5] for name in self._unit_files() if KEY.fullmatch(name[:-5]))

    def strays(self) -> list[Path]:
        """Return the files in `units` whose name is not a key, sorted.

        Raises:
            StorageError: the folder cannot be listed.
        """
        folder = self.root / "units"
        return sorted(folder / name for name in self._unit_files() if not KEY.fullmatch(name[:-5]))

    def _unit_files(self) -> list[str]:
        folder = self.root / "units"
        try:
            return [name for name in os.listdir(folder) if name.endswith(".json") and name[0] != "."]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            got = error.strerror or str(error)
            raise StorageError(where=str(folder), expected="a folder that can be listed", got=got) from None


def _plain(key: str) -> str:
    # Keys become file names; a foreign record must not be able to name a path.
    if not KEY.fullmatch(key):
        raise StorageError(expected="a unit's key of letters and digits", got=repr(key[:80]))
    return key


def is_run(folder: Path) -> bool:
    """Tell whether a folder is the folder of a run."""
    files = (folder / name for name in ("run.json", "plan.json", JOURNAL))
    return (folder / "units").is_dir() or any(map(os.path.lexists, files))


def check_run(folder: Path) -> None:
    """Refuse a path that is not a run folder; the message names runs in it.

    Raises:
        ConfigError: says what the path is instead, and what to give.
    """
    if is_run(folder):
        return
    do = "Name the folder that `robench run` printed last"
    if folder.is_dir():
        got = "a folder without `units`"
        if runs := _runs_in(folder):
            more = f" and {len(runs) - MOST_NAMED} more" if len(runs) > MOST_NAMED else ""
            do = f"Name runs in it: {', '.join(map(str, runs[:MOST_NAMED]))}{more}"
    else:
        got = "a file" if folder.exists() else "nothing of that name"
    raise ConfigError(where=str(folder), expected="a run folder", got=got, do=do)


def _runs_in(folder: Path) -> list[Path]:
    """Return the runs directly in a folder, by name; none if it cannot be listed."""
    try:
        return [path for path in sorted(folder.iterdir()) if path.is_dir() and is_run(path)]
    except OSError:
        return []
