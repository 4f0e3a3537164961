"""Parts of one plan that were run in folders of their own become one folder. No torch here."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench.errors import ConfigError, StorageError
from robench.record.files import read_text
from robench.record.store import Store, is_run

FILES = ("adv", "data", "models")
"""Folders whose files are named by their content or key: one of a name is as good as another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge brought together.

    Attributes:
        records: how many the folder holds now.
        expected: how many the whole plan leaves; 0 where no part says.
        twice: how many more than one part held, all alike.
    """

    records: int
    expected: int
    twice: int


def merge(parts: Sequence[Path], out: Path) -> Merged:
    """Copy the records and images of several run folders of one plan into a new one.

    Args:
        parts: the run folders.
        out: the folder to make; it may hold a part already, never another plan.

    Raises:
        ConfigError: no run folder, or another plan than the first.
        StorageError: a record is damaged, two of one unit differ, or the disk refused.
    """
    plan = _plan_of(parts[0])
    for folder in (*parts[1:], *([out] if is_run(out) else [])):
        if _plan_of(folder) != plan:
            raise ConfigError(
                where=str(folder),
                expected=f"a run of the same plan as {parts[0]}",
                got="another plan",
                do="Give the parts one configuration and the same overrides; only --shard and --out differ",
            )
    store = Store(out)
    store.prepare()
    first = Store(parts[0])
    store.begin(first.plan_data() or {}, read_text(parts[0] / "config.yaml") or "")
    twice, runs = 0, [Store(folder) for folder in parts]
    for part in runs:
        for name in FILES:
            _copy_files(part.root / name, out / name)
        for key in part.keys():  # noqa: SIM118 - not a dict
            record = part.read(key)
            store.note(key)
            if store.unit(key).is_file():
                twice += 1
                if store.read(key).columns != record.columns:
                    raise StorageError(
                        where=str(part.unit(key)),
                        expected="what the other parts hold of the same unit",
                        got="other verdicts",
                        do="Compare versions and hardware of the parts: their run.json names them",
                    )
                continue
            store.write(record)
    summaries = [part.facts()[0] for part in runs]
    keys = store.keys()
    expected = max((int(summary.get("expected", 0)) for summary in summaries), default=0)
    store.write_json("run.json", _summary(summaries, keys, expected))
    return Merged(records=len(keys), expected=expected, twice=twice)


def _plan_of(folder: Path) -> str:
    """Return the hash of a folder's plan."""
    if not is_run(folder):
        raise ConfigError(where=str(folder), expected="a run folder", got="none")
    plan = Store(folder).plan_digest()
    if plan is None:
        raise ConfigError(where=str(folder), expected="a run folder with its plan.json", got="none")
    return plan


def _copy_files(source: Path, target: Path) -> None:
    """Copy the files of a folder and its folders that are not there yet, each whole or not at all."""
    for path in sorted(source.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.name.startswith("."):
            continue
        copy = target / path.relative_to(source)
        if copy.exists():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # another disk, or a disk without links
            os.link(path, copy)
            continue
        temporary = copy.with_name(f".{copy.name}.part")
        try:
            shutil.copyfile(path, temporary)
            os.replace(temporary, copy)
        except OSError as error:
            got = error.strerror or str(error)
            raise StorageError(where=str(copy), expected="to write the file", got=got) from error


def _summary(summaries: list[dict[str, Any]], keys: list[str], expected: int) -> dict[str, Any]:
    """Return what `run.json` says of the parts together."""
    failed_jobs: dict[str, list[str]] = {}
    for summary in summaries:
        for model, titles in dict(summary.get("failed_jobs") or {}).items():
            failed_jobs.setdefault(model, []).extend(titles)
    failed_models = {
        name: why for one in summaries for name, why in dict(one.get("failed_models") or {}).items()
    }
    whole = len(keys) >= expected and not failed_jobs and not failed_models
    return {
        **(summaries[0] if summaries else {}),
        "status": "finished" if whole else "failed jobs" if failed_jobs or failed_models else "interrupted",
        "units": keys,
        "expected": expected,
        "failed_models": failed_models,
        "failed_jobs": failed_jobs,
        "geometry": [],
    }
