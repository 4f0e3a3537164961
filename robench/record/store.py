"""The folder of one run: one immutable file per finished unit, so that nothing finished is ever lost.

Layout of `runs/NAME/`::

    config.yaml               what the user wrote, verbatim
    plan.json                 the plan it means, with every default
    run.json                  how it went; `units` lists the keys of the plan's finished records
    units/<key>.json          one record each
    adv/<key>.safetensors     adversarial images
    data/<digest>.safetensors clean images of a shard, 8 bits a value, for reports
    geometry/<key>.safetensors features and nearest templates of a model on a board, for reports
    models/<key>/             trained networks
    errors/<key>.json         units that failed, and why
    leaderboard.csv  .md      made from the units; safe to delete
    report.html               made from the whole folder; safe to delete
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from robench.errors import ConfigError, StorageError
from robench.record.files import sweep, write_atomic
from robench.record.schema import Record, noting_failed

_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


class Store:
    """Reads and writes the folder of one run.

    Args:
        root: the folder; it is made by `prepare`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folder and its parts, and delete temporary files that killed writers left behind.

        Raises:
            StorageError: the folder cannot be made.
        """
        for part in ("units", "adv", "data", "geometry", "models", "errors"):
            folder = self.root / part
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                got = error.strerror or str(error)
                raise StorageError(where=str(folder), expected="to make the folder", got=got) from error
            sweep(folder)
        sweep(self.root)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; the operating system lets go when the process ends, however.

        Raises:
            ConfigError: another process holds it.
            StorageError: the folder cannot be locked.
        """
        from filelock import FileLock, Timeout

        held = FileLock(self.root / ".lock", timeout=0)
        try:
            held.acquire()
        except Timeout:
            raise ConfigError(
                where=str(self.root),
                expected="a run folder that no other process uses",
                got="one that another robench process is writing to",
                do="Wait for it to finish, or choose another folder with --out",
            ) from None
        except OSError as error:
            got = error.strerror or str(error)
            raise StorageError(where=str(self.root), expected="to lock the folder", got=got) from error
        try:
            yield
        finally:
            held.release()

    def unit(self, key: str) -> Path:
        """Return the path of a record."""
        return self.root / "units" / f"{_plain(key)}.json"

    def adv(self, key: str) -> Path:
        """Return the path of a file of adversarial images."""
        return self.root / "adv" / f"{_plain(key)}.safetensors"

    def images(self, digest: str) -> Path:
        """Return the path of a shard's clean images."""
        return self.root / "data" / f"{_plain(digest)}.safetensors"

    def geometry(self, key: str) -> Path:
        """Return the path of what was kept of a model's feature space."""
        return self.root / "geometry" / f"{_plain(key)}.safetensors"

    def model(self, key: str) -> Path:
        """Return the folder of a trained network."""
        return self.root / "models" / _plain(key)

    def error(self, key: str) -> Path:
        """Return the path of a failure's account."""
        return self.root / "errors" / f"{_plain(key)}.json"

    def read(self, key: str) -> Record:
        """Return one record.

        Raises:
            StorageError: missing, half-written, foreign, or of another unit; names the file.
        """
        path = self.unit(key)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            got = getattr(error, "strerror", None) or str(error)
            raise StorageError(where=str(path), expected="a readable record", got=got) from None
        record = Record.from_json(text, where=str(path))
        if record.key != key:
            got, do = f"one of {record.key[:80]!r}", "Delete the file and run the same command again"
            raise StorageError(where=str(path), expected=f"the record of unit {key!r}", got=got, do=do)
        return record

    def has(self, key: str) -> bool:
        """Tell whether a unit is finished; a file that is not its record counts as missing."""
        try:
            self.read(key)
        except StorageError:
            return False
        return True

    def write(self, record: Record) -> None:
        """Write a record, and forget an earlier failure of the same unit.

        Raises:
            StorageError: the disk refused; every other record is intact.
        """
        write_atomic(self.unit(record.key), record.to_json() + "\n")
        with contextlib.suppress(OSError):
            self.error(record.key).unlink()

    def write_error(self, key: str, account: dict[str, Any]) -> None:
        """Write why a unit failed.

        Raises:
            StorageError: the disk refused.
        """
        write_atomic(self.error(key), json.dumps(account, indent=1, default=str) + "\n")

    def read_error(self, key: str) -> dict[str, Any]:
        """Return the account of a failed unit or job; {} where there is none that can be read."""
        try:
            account = json.loads(self.error(key).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return account if isinstance(account, dict) else {}

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run's own, such as `config.yaml`.

        Raises:
            StorageError: the disk refused; the older file is intact.
        """
        write_atomic(self.root / name, text)

    def write_json(self, name: str, data: Any) -> None:
        """Write a file of the run's own as JSON, such as `run.json`.

        Raises:
            StorageError: the disk refused; the older file is intact.
        """
        self.write_text(name, json.dumps(data, indent=1, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Return what a file of the run's own holds, None if there is no such file.

        Raises:
            StorageError: it cannot be read or is not JSON.
        """
        path = self.root / name
        try:
            return json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            got = getattr(error, "strerror", None) or str(error)
            raise StorageError(where=str(path), expected="readable JSON", got=got) from None

    def keys(self) -> list[str]:
        """Return the sorted keys of all files in `units`, readable or not."""
        return sorted(path.stem for path in (self.root / "units").glob("*.json") if path.name[0] != ".")

    def planned(self) -> list[str]:
        """Return the finished keys of the plan that ran last here, or every key if no run was finished.

        A folder can hold units of earlier plans (another radius, other weights): they are kept for the case
        that they are asked for again, and stay out of tables.
        """
        run = self.read_json("run.json")
        listed = run.get("units") if isinstance(run, dict) else None
        return [str(key) for key in listed] if isinstance(listed, list) else self.keys()

    def read_records(self, keys: Iterable[str] | None = None) -> list[Record]:
        """Return the records of some units, by default of the plan that ran last.

        Raises:
            StorageError: one of them is missing, half-written or foreign; names the file.
        """
        if keys is not None:
            return [self.read(key) for key in keys]
        return noting_failed([self.read(key) for key in self.planned()], self._failed_jobs())

    def _failed_jobs(self) -> dict[str, list[str]]:
        """Return the titles of the jobs that failed when the plan ran last, by the model that lacks them."""
        run = self.read_json("run.json") if (self.root / "run.json").is_file() else {}
        failed = run.get("failed_jobs") if isinstance(run, dict) else None
        if not isinstance(failed, dict):
            return {}
        return {str(k): [str(title) for title in v] for k, v in failed.items() if isinstance(v, list)}

    def read_errors(self) -> dict[str, dict[str, Any]]:
        """Return the accounts of failed units by key; an unreadable one says so."""
        accounts: dict[str, dict[str, Any]] = {}
        for path in sorted((self.root / "errors").glob("*.json")):
            if path.name[0] == ".":
                continue
            try:
                account = json.loads(path.read_text("utf-8"))
            except (OSError, ValueError, RecursionError):
                account = None
            accounts[path.stem] = account if isinstance(account, dict) else {"error": "unreadable account"}
        return accounts


def _plain(key: str) -> str:
    # Keys become file names; a foreign record must not be able to name a path.
    if not _KEY.fullmatch(key):
        raise StorageError(expected="a unit's key of letters and digits", got=repr(key[:80]))
    return key


def is_run(folder: Path) -> bool:
    """Tell whether a folder is the folder of a run."""
    return (folder / "units").is_dir() or (folder / "run.json").is_file()
