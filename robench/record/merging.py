"""Parts of one plan that were run in folders of their own become one folder. No torch here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from robench.errors import ConfigError, StorageError
from robench.record.files import copy_atomic, read_text
from robench.record.journal import KEY
from robench.record.repetition import unit_name
from robench.record.run_facts import RunFacts
from robench.record.schema import Record
from robench.record.store import Store, check_run, is_run

FILES = ("adv", "data", "models")
"""Folders whose files are named by their content or key: one of a name is as good as another."""
_MADE_WITH = ("command", "versions", "device", "machine", "cores", "threads", "gpu")
"""What `run.json` says of how a run was made, in which parts may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge brought together.

    Attributes:
        records: how many the folder holds now.
        expected: how many the whole plan leaves; 0 where no part says.
        twice: how many were in several parts, all alike.
    """

    records: int
    expected: int
    twice: int


def check_parts(parts: Sequence[Path], out: Path) -> None:
    """Check that folders are runs of one plan, and of that of `out` where there is one; write nothing.

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

    Whoever calls it sees to it that nobody else writes to `out`.

    Args:
        parts: the run folders.
        out: the folder to make; it may hold a part already, never another plan.

    Raises:
        ConfigError: no run folder, or another plan than the first.
        StorageError: a record is damaged, two of one unit differ, or the disk refused.
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
            if key in own:  # others are of a plan before, or were not noted before a kill
                store.note(key)
                holders[key] = holders.get(key, 0) + 1
                finished_keys |= {key, record.provenance.crafted}
                names.add(unit_name(record))  # of parts of two versions one unit may have two keys
                models.add(record.target.name)
        for key in own - set(run.keys()):
            run.read(key)  # says that it is not there
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
    """Return the folder to make if something of a run is in it; else a merge was ended before it began."""
    is_old = is_run(out) and (os.path.lexists(out / "plan.json") or Store(out).keys())
    return [out] if is_old else []


def _add(store: Store, record: Record, path: Path) -> None:
    """Write a record that is not there yet; one that is must hold the same."""
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
    """Copy the files of a folder and its folders that are not there yet, each whole or not at all."""
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
    for summary in summaries if not whole else ():  # else another part has done what failed in one
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
    """Return what all parts say, or everything that one of them does."""
    if all(isinstance(value, dict) for value in values):
        names = dict.fromkeys(name for value in values for name in value)
        return {name: _together([value[name] for value in values if name in value]) for name in names}
    different = list(dict.fromkeys(map(str, values)))
    return " and ".join(different) if len(different) > 1 else values[0]
