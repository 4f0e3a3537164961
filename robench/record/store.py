"""The folder of one run: one immutable file per finished unit, so that nothing finished is ever lost.

Layout of `runs/NAME/`::

    config.yaml               the user's configuration, verbatim
    plan.json                 the resulting plan, with every default
    finished.txt              its hash, and a line for every finished unit; see `robench.record.journal`
    run.json                  summary of the run; `units` lists the keys of the plan's finished records
    units/<key>.json          one record each
    adv/<key>.safetensors     adversarial images
    data/<digest>.safetensors clean images of a shard, 8 bits a value, for reports
    geometry/<key>.safetensors features and nearest templates of a model on a board, for reports
    models/<key>/             trained networks
    errors/<key>.json         units that failed, and why
    damaged/                  files that were unreadable when the run was resumed; made again, never deleted
    index.bin                 data of the records that boards need; made from them, safe to delete
    leaderboard.csv  .md      made from the units; safe to delete
    report.html               made from the whole folder; safe to delete
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robench.errors import StorageError
from robench.record.columns.column_cache import RecentColumns
from robench.record.columns.image_columns import Columns
from robench.record.completeness import noting_failed
from robench.record.error_account import ErrorAccount, error_account
from robench.record.files import read_json, write_atomic, write_new
from robench.record.folder import Fault, check_run, is_run
from robench.record.index.folder_index import FEWEST, MANY, Index
from robench.record.journal import JOURNAL, read_journal
from robench.record.planned import PlannedRun
from robench.record.planned_folder import PlannedFolder
from robench.record.record_file import read_record
from robench.record.run_facts import RunFacts
from robench.record.schema import Record
from robench.record.seal import sealed_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Fault", "Store", "check_run", "is_run"]


class Store(PlannedFolder):
    """Reads and writes the records of a run folder; see `robench.record.folder.RunFolder`."""

    def __init__(self, root: Path, *, told: Callable[[str], None] | None = None) -> None:
        super().__init__(root, told=told)
        self._recent = RecentColumns()
        self._again = self._columns  # one object for all records

    def read(self, key: str) -> Record:
        """Return one complete record.

        Raises:
            StorageError: missing, half-written, foreign, or of another unit; names the file.
        """
        return self._read(key)[0]

    def _read(self, key: str, *, light: bool = False) -> tuple[Record, str]:
        """Return one record, and the checksum in its file, empty if it has none."""
        record, digest, _ = read_record(self.unit_file(key), key, light=light)
        return record, digest

    def _light(self, key: str, plan: PlannedRun | None = None, index: Index | None = None) -> Record:
        """Return one record, completely read and checked; most of its columns stay in the file.

        They are read and checked again when they are used, so that a board of many records keeps few of them
        in memory. Columns of version 1, which are slow to read, are kept. A record in the index is not read.
        """
        self._recent.forget(key)  # the record may have changed
        before = None
        if index is not None:
            if (hit := index.record(key)) is not None:
                return hit
            before = index.stamp(key)
        record, digest = self._read(key, light=True)
        if record.schema == 1:
            return record.noting(columns=record.columns.compact(), planned=plan)
        record = record.noting(columns=record.columns.released(self._again, key), planned=plan)
        if index is not None:
            index.add(record, digest, before)
        return record

    def _all_light(
        self, keys: Sequence[str], plan: PlannedRun | None, index: Index | None
    ) -> Iterator[Record | StorageError]:
        """Yield every record as `_light` returns it, or the error of reading it."""
        hits: list[Record | None] = [None] * len(keys)
        if index is not None and len(keys) > MANY:  # below, reading one after another is as fast
            hits = [index.record(key) for key in keys]
            index.read_many([key for key, record in zip(keys, hits, strict=True) if record is None])
        for key, record in zip(keys, hits, strict=True):
            try:
                self._recent.forget(key)
                yield self._light(key, plan, index) if record is None else record
            except StorageError as error:
                yield error

    def _columns(self, key: str, status: NDArray[np.uint8], digest: str = "") -> Columns:
        """Return the columns of a record that was read before, with the same statuses (and checksum)."""
        columns = self._recent.of(key)
        same = True
        if columns is None:
            record, own = self._read(key) if digest else (self.read(key), "")
            columns, same = record.columns, digest == own
        if not same or columns.array("status").tobytes() != status.tobytes():
            where, got = str(self.unit(key)), "another one, written since then"
            raise StorageError(
                where=where, expected="the record that was there when this command began", got=got
            )
        self._recent.keep(key, columns)
        return columns

    def has(self, key: str) -> bool:
        """Tell whether a unit is finished; an invalid file counts as missing."""
        try:
            self.read(key)
        except StorageError:
            return False
        return True

    def write(self, record: Record, *, replace: bool = False) -> None:
        """Write a record unless a valid one exists, and forget an earlier failure of the same unit.

        Of two writers of one record the first wins. A damaged file in its place is set aside.

        Args:
            record: the record.
            replace: replace an existing record.

        Raises:
            StorageError: writing to disk failed; every other record is intact.
        """
        path, text = self.unit(record.key), sealed_text(record.to_json()) + "\n"
        self._recent.forget(record.key)
        while not write_new(path, text):
            try:
                self.read(record.key)
            except StorageError as error:
                self.set_aside(path, f"expected {error.expected}, got {error.got}")
                continue
            if replace:
                write_atomic(path, text)
            break
        self.forget_error(record.key)

    def write_error(self, key: str, account: ErrorAccount) -> None:
        """Write why a unit failed.

        Raises:
            StorageError: writing to disk failed.
        """
        path = self.error(key)
        if path.is_dir():
            self.set_aside(path, "a folder in place of a file")
        if digest := self.plan_digest():
            account = {**account, "plan": digest}
        write_atomic(path, json.dumps(account, indent=1, default=str) + "\n")

    def read_error(self, key: str) -> ErrorAccount:
        """Return the account of a failed unit or job; {} where there is none that can be read."""
        return _account(self.error(key)) or {}

    def readable(self, *, index: bool = False) -> tuple[list[Record], list[Fault]]:
        """Return the readable records of the plan, and a fault for everything that cannot be read.

        Only the index may be changed, and damaged files do not prevent the reading of others.

        Args:
            index: use the index, and write it again if many records are new; otherwise every record is read.
                See `robench.record.index.folder_index`.
        """
        plan, faults = self.plan()
        facts, fact_faults = self.facts()
        faults = [*fact_faults, *faults]
        try:
            read_journal(self.root)
        except StorageError as error:
            faults.append(Fault.of(JOURNAL, error))
        keys: list[str] = []
        try:
            faults += [Fault(f"units/{stray.name}", "a name that is no key") for stray in self.strays()]
            keys = self.planned(facts)
        except StorageError as error:
            faults.append(Fault.of("units", error))
        records = []
        with self._index(keys, plan) if index else contextlib.nullcontext() as lookup:
            for key, record in zip(keys, self._all_light(keys, plan, lookup), strict=True):
                if isinstance(record, StorageError):
                    faults.append(Fault.of(f"units/{key}.json", record))
                else:
                    records.append(record)
        return noting_failed(records, self._failed_jobs(facts)), faults

    @contextlib.contextmanager
    def _index(
        self, keys: Sequence[str], plan: PlannedRun | None, *, anew: bool = False
    ) -> Iterator[Index | None]:
        """Yield the index if the folder is large enough for one, and write it at the end if that helps."""
        index = None
        if len(keys) >= FEWEST and os.name == "posix":  # elsewhere the stamps of files say less
            with contextlib.suppress(OSError):
                index = Index(self.root, self._again, plan, anew=anew)
        if index is None:
            yield None
            return
        try:
            yield index
            index.write()
        finally:
            index.close()

    def read_records(
        self, keys: Iterable[str] | None = None, *, index: bool = False, anew: bool = False
    ) -> list[Record]:
        """Return the records of some units, by default of the plan that ran last.

        Args:
            keys: of the units.
            index: without keys, use the index, as in `readable`.
            anew: without keys, read every record and make the index from them.

        Raises:
            StorageError: one of them is missing, half-written or foreign; names the file.
        """
        if keys is not None:
            return [self._light(key) for key in keys]
        plan, facts = self.plan()[0], self.facts()[0]
        units = self.planned(facts)
        has_index = index or anew
        with self._index(units, plan, anew=anew) if has_index else contextlib.nullcontext() as lookup:
            records = []
            for record in self._all_light(units, plan, lookup):
                if isinstance(record, StorageError):
                    raise record
                records.append(record)
        return noting_failed(records, self._failed_jobs(facts))

    def _failed_jobs(self, facts: RunFacts) -> dict[str, list[str]]:
        """Return the titles of the jobs that failed when the plan ran last, by the model that lacks them."""
        if facts.get("plan") not in {None, self.plan_digest()}:
            return {}
        failures = facts.get("failed_jobs", {})
        return {str(k): [str(title) for title in v] for k, v in failures.items() if isinstance(v, list)}

    def read_errors(self) -> dict[str, ErrorAccount]:
        """Return the accounts of failed units of the plan by key; an unreadable one says so."""
        digest = self.plan_digest()
        accounts: dict[str, ErrorAccount] = {}
        for path in sorted((self.root / "errors").glob("*.json")):
            if path.name[0] == ".":
                continue
            account = _account(path)
            if account is not None and account.pop("plan", digest) != digest:
                continue  # it failed for the plan before
            accounts[path.stem] = {"error": "unreadable account"} if account is None else account
        return accounts


def _account(path: Path) -> ErrorAccount | None:
    """Return the account in a file, None where there is none that can be read."""
    try:
        return error_account(read_json(path))
    except StorageError:
        return None
