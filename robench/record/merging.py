"""Merges parts of one plan that were run in separate folders into one folder. No torch here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from robench.errors import ConfigError, StorageError
from robench.record.comparison.repetition import unit_name
from robench.record.files import copy_atomic, read_text
from robench.record.journal import KEY
from robench.record.run_facts import RunFacts
from robench.record.schema import Record
from robench.record.store import Store, check_run, is_run

FILES = ("adv", "data", "models")
"""Folders whose files are named by content or key: files with the same name are interchangeable."""
_MADE_WITH = ("command", "versions", "device", "machine", "cores", "threads", "gpu")
"""Facts in `run.json` about how a run was made; they may differ between parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Result of a merge.

    Attributes:
        records: number of records in the folder now.
        expected: number of records of the whole plan; 0 if no part has it.
        twice: number of records that were in several parts, all equal.
    """

    records: int
    expected: int
    twice: int


def check_parts(parts: Sequence[Path], out: Path) -> None:
    """Check that folders are runs of one plan, also the plan of `out` if it has one; write nothing.

    Raises:
        ConfigError: no run folder, or another plan than the first.
    """
    plan = _plan_of(parts[0])
    for folder in (*parts[1:], *_begun(out)):
        if _plan_of(folder) != plan:
            raise ConfigError(
                where=str(folder),
                expected=f"a run of the same plan as {parts[0]}",
                got="another plan",
                do="Give the parts one configuration and the same overrides; only --shard and --out differ",
            )


def merge(parts: Sequence[Path], out: Path) -> Merged:
    """Copy the records and images of several run folders of one plan into a new one.

    The caller must make sure that no other process writes to `out`.

    Args:
        parts: the run folders.
        out: the folder to make; it may contain a part already, but no other plan.

    Raises:
        ConfigError: no run folder, or another plan than the first.
        StorageError: a record is damaged, two records of one unit differ, or writing to disk failed.
    """
    check_parts(parts, out)
    folders = {folder.resolve(): folder for folder in (*parts, *_begun(out))}
    runs = [Store(folder) for folder in folders.values()]
    plans = [run.planned() for run in runs]  # before `begin`, which writes to one of them if it is `out`
    summaries = [run.facts()[0] for run in runs]
    store = Store(out)
    store.prepare()
    store.begin(runs[0].plan_data() or {}, read_text(parts[0] / "config.yaml") or "")
    holders: dict[str, int] = {}
    finished_keys, names, models = set[str](), set[tuple[str, ...]](), set[str]()
    for run, plan_keys in zip(runs, plans, strict=True):
        for name in FILES:
            _copy_files(run.root / name, out / name)
        own = set(plan_keys)
        for key in run.keys():  # noqa: SIM118 - not a dict
            record = run.read(key)
            _add(store, record, run.unit(key))
            if key in own:  # other records are of an earlier plan, or were not noted before a kill
                store.note(key)
                holders[key] = holders.get(key, 0) + 1
                finished_keys |= {key, record.provenance.crafted}
                names.add(unit_name(record))  # in parts of two versions one unit may have two keys
                models.add(record.target.name)
        for key in own - set(run.keys()):
            run.read(key)  # raises, because it does not exist
    for run in runs:
        for key, account in run.read_errors().items():
            is_model_made = str(account.get("model", "")) in models  # another part could make it
            if KEY.fullmatch(key) and key not in finished_keys and not is_model_made:
                store.write_error(key, account)
    expected = _expected(summaries)
    store.write_json("run.json", _summary(summaries, list(holders), models, whole=len(names) >= expected))
    twice = sum(count > 1 for count in holders.values())
    return Merged(records=len(holders), expected=expected, twice=twice)


def _begun(out: Path) -> list[Path]:
    """Return the output folder if it has parts of a run; else none, as an earlier merge ended too early."""
    is_old = is_run(out) and (os.path.lexists(out / "plan.json") or Store(out).keys())
    return [out] if is_old else []


def _add(store: Store, record: Record, path: Path) -> None:
    """Write a record that does not exist yet; an existing one must have the same contents."""
    if not store.unit(record.key).is_file():
        store.write(record)
        return
    there = store.read(record.key)
    differs = [
        what
        for what, same in (
            ("verdicts", there.columns == record.columns),
            ("images", there.provenance.images_sha256 == record.provenance.images_sha256),
            ("findings", {f.code for f in there.findings} == {f.code for f in record.findings}),
        )
        if not same
    ]
    if differs:
        raise StorageError(
            where=str(path),
            expected="what the other parts hold of the same unit",
            got=f"other {' and '.join(differs)}",
            do="Compare versions and hardware of the parts: their run.json names them",
        )


def _plan_of(folder: Path) -> str:
    """Return the hash of a folder's plan."""
    check_run(folder)
    plan = Store(folder).plan_digest()
    if plan is None:
        raise ConfigError(where=str(folder), expected="a run folder with its plan.json", got="none")
    return plan


def _copy_files(source: Path, target: Path) -> None:
    """Copy the files of a folder and its subfolders that do not exist yet, each atomically."""
    for path in sorted(source.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.name.startswith("."):
            continue
        copy = target / path.relative_to(source)
        if not copy.exists():
            copy_atomic(path, copy)


def _expected(summaries: Sequence[RunFacts]) -> int:
    return max((summary.get("expected", 0) for summary in summaries), default=0)


def _summary(summaries: Sequence[RunFacts], keys: list[str], models: set[str], *, whole: bool) -> RunFacts:
    """Return what `run.json` says of the parts together; `models` are those with a record."""
    failed_jobs: dict[str, list[str]] = {}
    for summary in summaries if not whole else ():  # otherwise other parts have done the failed jobs
        for model, titles in dict(summary.get("failed_jobs") or {}).items():
            failed_jobs[model] = list(dict.fromkeys((*failed_jobs.get(model, ()), *titles)))
    failed_models = {
        name: why
        for one in summaries
        for name, why in dict(one.get("failed_models") or {}).items()
        if name not in models
    }
    has_failures = bool(failed_jobs or failed_models)
    return {
        **summaries[0],
        **_made_with(summaries),
        "status": "failed jobs" if has_failures else "finished" if whole else "interrupted",
        "units": keys,
        "expected": _expected(summaries),
        "failed_models": failed_models,
        "failed_jobs": failed_jobs,
        "geometry": [],
    }


def _made_with(summaries: Sequence[Mapping[str, Any]]) -> RunFacts:
    """Return what `run.json` says of how the parts were made."""
    together = {
        name: _together([one[name] for one in summaries if name in one])
        for name in _MADE_WITH
        if any(name in one for one in summaries)
    }
    return cast("RunFacts", together)


def _together(values: list[Any]) -> Any:
    """Return the common value of all parts, or all different values."""
    if all(isinstance(value, dict) for value in values):
        names = dict.fromkeys(name for value in values for name in value)
        return {name: _together([value[name] for value in values if name in value]) for name in names}
    different = list(dict.fromkeys(map(str, values)))
    return " and ".join(different) if len(different) > 1 else values[0]
