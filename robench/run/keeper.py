"""Stores for finished work: memory, or a run folder, so that a killed run loses no finished unit."""

from __future__ import annotations

import json
import os
import traceback
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol

import torch

from robench.attack.craft import Crafted
from robench.attack.ledger import Ledger
from robench.data.images import ImageSet
from robench.errors import RobenchError, StorageError
from robench.intake.code_places import traceback_of
from robench.model.out_of_memory import SMALLER_SHARD, is_out_of_memory, reason_of
from robench.record.error_account import ErrorAccount
from robench.record.feature_snapshot import FeatureSnapshot, read_snapshot, write_snapshot
from robench.record.files import write_atomic
from robench.record.schema import Record
from robench.record.seal import NOTES, check_tensors, sealed_tensors, unsealed_notes
from robench.record.store import Store

_COLUMNS = tuple(column.name for column in fields(Ledger))
_UNKNOWN = {"points", "tries", "first_passes", "first_try"}
"""Columns for curves, where 0 means unknown: a file of an earlier version may lack them."""


class Keeper(Protocol):
    """A store for finished work: memory, or a run folder."""

    def record(self, key: str) -> Record | None:
        """Return a finished record, or None."""
        ...

    def keep_record(self, record: Record) -> None:
        """Keep a record; on return it survives a crash."""
        ...

    def crafted(self, key: str) -> Crafted | None:
        """Return crafted images, or None."""
        ...

    def keep_crafted(self, key: str, crafted: Crafted) -> None:
        """Keep crafted images."""
        ...

    def failed(
        self, key: str, title: str, text: str, *, model: str = "", error: BaseException | None = None
    ) -> None:
        """Note that a job failed, which model's row lacks its results, and the exception."""
        ...

    def finished(self, key: str) -> None:
        """Note that a job is done, so that an earlier failure of it no longer counts."""
        ...


@dataclass(slots=True)
class Memory:
    """A keeper that forgets the crafted images of a shard when the next shard starts."""

    records: dict[str, Record] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    failed_jobs: dict[str, list[str]] = field(default_factory=dict)
    _crafted: dict[str, Crafted] = field(default_factory=dict)

    def record(self, key: str) -> Record | None:
        """Return a finished record, or None."""
        return self.records.get(key)

    def keep_record(self, record: Record) -> None:
        """Keep a record."""
        self.records[record.key] = record

    def crafted(self, key: str) -> Crafted | None:
        """Return crafted images, or None."""
        return self._crafted.get(key)

    def keep_crafted(self, key: str, crafted: Crafted) -> None:
        """Keep only the newest crafted images."""
        self._crafted = {key: crafted}

    def failed(
        self, key: str, title: str, text: str, *, model: str = "", error: BaseException | None = None
    ) -> None:
        """Note that a job failed; keeps its text only, as the exception would keep its images in memory."""
        del error
        self.failures[key] = f"{title}: {text}"
        self.failed_jobs.setdefault(model, []).append(title)

    def finished(self, key: str) -> None:
        """Forget an earlier failure of a job."""
        self.failures.pop(key, None)


@dataclass(slots=True)
class FolderKeeper:
    """A keeper over a run folder.

    Args:
        store: the folder. If it may report damage (`Store.told`), damaged files are set aside and made again.
        force: treat the folder as empty; new results replace stored ones.
        failures: how many jobs failed since this was made.
        failed_jobs: titles of the failed jobs, by the model whose row lacks their results.
    """

    store: Store
    force: bool = False
    failures: int = 0
    failed_jobs: dict[str, list[str]] = field(default_factory=dict)

    def record(self, key: str) -> Record | None:
        """Return a finished record; a missing or half-written file is None."""
        return None if self.force else self._record(key)

    def _record(self, key: str) -> Record | None:
        path = self.store.unit(key)
        if not os.path.lexists(path):
            return None
        try:
            return self.store.read(key)
        except StorageError as error:
            self._damaged(path, error)
            return None

    def _damaged(self, path: Path, error: Exception) -> None:
        """Set a damaged file aside, unless the folder is read-only."""
        if self.store.told:
            why = f"expected {error.expected}, got {error.got}" if isinstance(error, StorageError) else error
            self.store.set_aside(path, last_line(str(why) or type(error).__name__))

    def keep_record(self, record: Record) -> None:
        """Write a record, unless a valid one with as many fresh draws exists and `force` is off.

        Raises:
            StorageError: writing to disk failed; every other record is intact.
        """
        before = self._record(record.key)
        has_other_draws = before is not None and before.draws != record.draws  # see evaluate._usable_record
        self.store.write(record, replace=self.force or has_other_draws)

    def crafted(self, key: str) -> Crafted | None:
        """Return crafted images; None if they have to be crafted (again).

        That is if the file is missing or damaged (a damaged file is set aside), or if an earlier version
        wrote it without some columns that findings need: zeros in these columns would mean that nothing was
        wrong.
        """
        from safetensors import SafetensorError, safe_open

        path = self.store.adv(key)
        if self.force or not os.path.lexists(path):
            return None
        try:
            check_tensors(path, notes=NOTES)
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                notes = file.metadata() or {}
                seconds, engine = float(notes.get("seconds", "0")), notes.get("engine", "")
                micro_batch = int(notes.get("micro_batch", "0"))
                proof = {str(k): float(v) for k, v in json.loads(notes.get("proof", "{}")).items()}
                not_used = {str(k): str(v) for k, v in json.loads(notes.get("not_used", "{}")).items()}
        except (StorageError, SafetensorError, OSError, ValueError, AttributeError) as error:
            self._damaged(path, error)
            return None
        if not tensors.keys() >= {"x_adv", *_COLUMNS} - _UNKNOWN:
            return None
        ledger = Ledger.empty(len(tensors["x_adv"]))
        for name in _COLUMNS:
            setattr(ledger, name, tensors.get(name, getattr(ledger, name)))
        return Crafted(
            x_adv=tensors["x_adv"],
            ledger=ledger,
            seconds=seconds,
            engine=engine,
            not_used=not_used,
            proof=proof,
            micro_batch=micro_batch,
        )

    def _write(self, path: Path, tensors: dict[str, torch.Tensor], notes: dict[str, str]) -> None:
        from safetensors.torch import save

        if path.is_dir():
            self.store.set_aside(path, "a folder in place of a file")
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_atomic(path, sealed_tensors(save(tensors, unsealed_notes(notes))))

    def keep_crafted(self, key: str, crafted: Crafted) -> None:
        """Write crafted images and the attack's ledger.

        Raises:
            StorageError: writing to disk failed.
        """
        tensors: dict[str, torch.Tensor] = {name: getattr(crafted.ledger, name) for name in _COLUMNS}
        tensors["x_adv"] = crafted.x_adv
        notes = {"seconds": f"{crafted.seconds:.6f}"}
        if crafted.engine:
            notes |= {"engine": crafted.engine, "not_used": json.dumps(dict(crafted.not_used))}
        if crafted.proof:
            notes["proof"] = json.dumps(dict(crafted.proof))
        if crafted.micro_batch:
            notes["micro_batch"] = str(crafted.micro_batch)
        self._write(self.store.adv(key), tensors, notes)
        self.store.forget_error(key)

    def keep_images(self, digest: str, data: ImageSet) -> None:
        """Write the clean images of a shard once, rounded to 8 bits per value, to be shown in reports.

        Args:
            digest: digest of the shard, the name of the file.
            data: images of the shard (N, C, H, W).

        Raises:
            StorageError: writing to disk failed.
        """
        path = self.store.images(digest)
        try:
            if check_tensors(path):
                return
        except StorageError as error:
            self._damaged(path, error)
        images = data.images
        if images.dtype != torch.uint8:
            images = (images.to(torch.float32) * 255).round().to(torch.uint8)
        self._write(path, {"images": images, "index": data.indices}, {})

    def has_snapshot(self, key: str) -> bool:
        """Tell whether a snapshot is stored; a half-written or foreign file counts as missing."""
        if self.force:
            return False
        path = self.store.snapshot(key)
        if not os.path.lexists(path):
            return False
        try:
            read_snapshot(path)
        except StorageError as error:
            self._damaged(path, error)
            return False
        return True

    def keep_snapshot(self, key: str, snapshot: FeatureSnapshot) -> None:
        """Write the snapshot of a model's feature space, and forget an earlier failure.

        Raises:
            StorageError: writing to disk failed.
        """
        path = self.store.snapshot(key)
        if path.is_dir():
            self.store.set_aside(path, "a folder in place of a file")
        write_snapshot(path, snapshot)
        self.store.forget_error(key)

    def failed(
        self, key: str, title: str, text: str, *, model: str = "", error: BaseException | None = None
    ) -> None:
        """Write why a job failed, and which model's row lacks its results; the next run tries it again.

        If our own error was raised from another one, the traceback of that one is stored too; the text of any
        other error contains its traceback.

        Raises:
            StorageError: writing to disk failed.
        """
        self.failures += 1
        if model:
            self.failed_jobs.setdefault(model, []).append(title)
        account: ErrorAccount = {"job": title, "error": text}
        if isinstance(error, RobenchError) and error.__cause__ is not None:
            account["traceback"] = traceback_of(error)
        self.store.write_error(key, account)

    def finished(self, key: str) -> None:
        """Forget an earlier failure of a job, such as a process that it ended after crafting."""
        self.store.forget_error(key)


def failure_text(error: BaseException) -> str:
    """Return why a job failed: the message of our own errors, the full traceback of any other."""
    if isinstance(error, RobenchError):
        return str(error)
    text = "".join(traceback.format_exception(error))
    if isinstance(error, SystemExit):
        return f"{text.rstrip()}\na call of sys.exit({error.code!r}) in its code"
    # Halving the batches did not help, for instance because the images of a shard do not fit into memory.
    return f"{text}{reason_of(error)}. {SMALLER_SHARD}." if is_out_of_memory(error) else text


def last_line(text: str) -> str:
    """Return the most informative line of a failure's text."""
    return text.strip().splitlines()[-1]
