"""Check everything in a run folder: rebuild its models, judge its images again, repeat some jobs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from robench import plugins
from robench.audit.rebounding import check_bounds
from robench.audit.rebuilt_work import changed_models, engine_of, failed_models, rebuilt_work
from robench.audit.run_rejudgement import (
    TOLERANCE,
    Check,
    check_claims,
    check_other_batches,
    differing,
    has_begun,
)
from robench.errors import ConfigError, StorageError
from robench.model.prepared import PreparedModels
from robench.plan.named_code import check_allowed
from robench.plan.spec import Plan
from robench.plurals import counted
from robench.randomness import Randomness
from robench.record.files import MOST_TEXT, read_regular
from robench.record.planned_folder import FINAL
from robench.record.schema import Record
from robench.record.store import Store
from robench.run.craft_and_judge import craft_unit, judge_unit
from robench.run.keeper import FolderKeeper
from robench.run.models.preparation import Workshop
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Environment
from robench.run.work import Work

UNITS = "units"
"""Name of the check that every unit of the plan is finished; reported only if some are not."""

MODELS = "models"
"""Name of the check that every model of the plan could be made; reported only if some could not."""

LATER_TABLE_COLUMNS = frozenset({"missing", "median_own", "median_size"})
"""Columns that tables of earlier versions do not have."""


def read_plan(store: Store) -> Plan:
    """Return the plan of a run folder.

    Raises:
        ConfigError: there is no plan, or it is of another version.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        data = store.read_json("plan.json")
    except StorageError as error:
        do = "Run the same `robench run` command again: it sets the file aside and writes it anew"
        raise ConfigError(where=error.where, expected=error.expected, got=error.got, do=do) from None
    try:
        return TypeAdapter(Plan).validate_python(data)
    except ValidationError as error:
        raise ConfigError(
            where=str(store.root / "plan.json"),
            expected="a valid plan of a finished run",
            got="none" if data is None else str(error.errors()[0]["msg"]),
            do="Name the folder that `robench run` printed last",
        ) from None


def check_files(store: Store) -> list[Check]:
    """Read every record of the run, and make its tables again from them."""
    records, faults = store.readable()
    facts = store.facts()[0]
    config = [_configuration(store, facts["config"])] if facts.get("config") else []
    unreadable = [f"{store.root / fault.about}: {fault.text}" for fault in faults]
    evidence = "; ".join(unreadable[:3])
    count = len(store.planned())
    readable = Check(name="records", looked=count, wrong=len(unreadable), evidence=evidence)
    tables = _tables(store, records)
    if facts.get("status") in FINAL:
        return [readable, tables, *config]
    if tables.wrong:  # for example tables from an earlier interruption of the run
        evidence = f"{tables.evidence}; the end of the run makes them anew"
        tables = replace(tables, evidence=evidence)
    checks = [readable, tables, *config]
    return [check for check in checks if check.looked or check.wrong]  # a run writes its tables at its end


def _configuration(store: Store, digest: str) -> Check:
    """Compare `config.yaml`, which `robench rerun` uses, with the hash of it in `run.json`."""
    is_same = store.config_digest() == digest
    evidence = "" if is_same else "config.yaml is not what the run was made with; plan.json says what was"
    return Check(name="config", looked=1, wrong=int(not is_same), evidence=evidence)


def completeness_check(store: Store, expected: int | None = None) -> Check | None:
    """Say how many units of the plan are finished; None if all are.

    Args:
        store: the run folder.
        expected: number of units in the plan; None if the models could not be made again, so that only
            `run.json` contains it.
    """
    facts, count = store.facts()[0], len(set(store.planned()))
    total = facts.get("expected", 0) if expected is None else expected
    if count >= total and (count or total):
        return None
    go_on = "give the command again that began it, which goes on where it stopped"
    reasons = {
        "finished": "run.json says that the run has finished: some were taken away",
        "failed jobs": f"jobs failed (folder `errors`); {go_on}, with --retry-failed",
        "part": "parts of the plan were done (--shard); do the others too, or merge them",
    }
    evidence = reasons.get(str(facts.get("status")), f"the run has not ended; {go_on}")
    return Check(name=UNITS, looked=count, wrong=0, missing=max(total - count, 1), evidence=evidence)


def _tables(store: Store, records: Sequence[Record]) -> Check:
    """Compare the tables in the folder with the same tables made now in a separate folder."""
    from tempfile import TemporaryDirectory

    different, earlier, total = [], [], 0
    with TemporaryDirectory() as folder:
        for name in ("csv", "markdown"):
            for path in plugins.find("reports", name)()(records, Path(folder)):
                file = store.root / path.name
                try:
                    before = read_regular(file, most=MOST_TEXT)
                except StorageError as error:
                    before = str(error).encode()
                if before is not None:
                    total += 1
                    now = path.read_bytes()
                    if before != now and _is_earlier(before, now):
                        earlier.append(path.name)
                    elif before != now:
                        different.append(path.name)
    evidence = [", ".join(different)] if different else []
    if earlier:
        lacks = f"without the columns that came later ({', '.join(sorted(LATER_TABLE_COLUMNS))})"
        evidence.append(f"{', '.join(earlier)}: by an earlier version, {lacks}")
    return Check(name="tables", looked=total, wrong=len(different), evidence="; ".join(evidence))


def _is_earlier(before: bytes, now: bytes) -> bool:
    """Tell whether a table equals the one made now, except columns that an earlier version did not write."""
    try:
        old, new = (list(csv.reader(io.StringIO(text.decode("utf-8")))) for text in (before, now))
    except (UnicodeDecodeError, csv.Error):
        return False
    if any(len(line) != len(new[0]) for line in new):
        return False  # not a single table: text, or several tables
    columns = [
        at for at, name in enumerate(new[0]) if old and (name in old[0] or name not in LATER_TABLE_COLUMNS)
    ]
    return [[line[at] for at in columns] for line in new] == old


def check_keys(work: Work, store: Store) -> Check:
    """Hash weights, images, attacks and settings again; compare with the names of the finished units."""
    units = set(store.planned())
    strange = units - planned_keys(work)
    if not strange:
        return Check(name="hashes", looked=len(units), wrong=0)
    models = changed_models(work, store.readable()[0])
    text = "weights, images, options or versions are not those the run was made with"
    if models:
        text = f"{'; '.join(models)} than the run was made with"
    return Check(name="hashes", looked=len(units), wrong=len(strange), evidence=text)


def planned_keys(work: Work) -> set[str]:
    """Return the keys of all units of a plan."""
    return {unit.key for shard in work.shards() for job in work.jobs(shard) for unit in job.units}


def check_repeats(work: Work, store: Store, *, sample: int, seed: int) -> Check | None:
    """Repeat a random sample of the finished jobs from the start, and compare images and verdicts.

    None if no attack has ended.
    """
    keeper = FolderKeeper(store)
    keys = set(store.planned())
    crafting_jobs = [job for shard in work.shards() for job in work.jobs(shard) if job.crafting]
    jobs = [job for job in crafting_jobs if has_begun(job, keys)]
    if not jobs:
        return None
    draws = Randomness(seed, torch.arange(len(jobs)), ("verify",)).uniform(torch.empty(len(jobs), 1))
    jobs_again = [jobs[i] for i in draws[:, 0].argsort()[:sample].tolist()]
    copies = PreparedModels(engine=work.settings.engine)
    verdicts = changes = 0
    furthest = 0.0
    for job in jobs_again:
        assert job.crafting is not None
        again = craft_unit(job.crafting, job.shard, work.settings, prepared=copies)
        result = keeper.crafted(job.key)
        if result is not None:
            furthest = max(furthest, float((again.x_adv - result.x_adv).abs().max()))
        try:
            before = store.read(job.white_box.key).columns.status
        except StorageError:
            continue  # the check `records` reports it
        record = judge_unit(job.white_box, again, work.settings)
        verdicts += len(before)
        changes += differing(record.columns.status, before)
    several = f"{len(jobs_again)} of {counted(len(jobs), 'job')}"
    return Check(
        name="repeats",
        looked=verdicts,
        wrong=changes,
        allowed=int(2 * TOLERANCE * verdicts),
        evidence=f"{several}; pixels differ by at most {furthest:.2g}",
    )


def verify(
    store: Store,
    *,
    environment: Environment,
    sample: int,
    batch_size: int,
    seed: int,
    reporter: Reporter = QUIET,
) -> Iterator[Check]:
    """Yield the results of all checks of a run, cheapest first; nothing is trained and nothing is written.

    If the run has not ended, everything in its folder is checked, and the check `units` says what is absent.

    Args:
        store: the run folder.
        environment: where to rebuild the models.
        sample: how many jobs to repeat.
        batch_size: images per pass of the new judgement; preferably not the batch size of the run.
        seed: for the choice of the sample.
        reporter: shows progress.

    Raises:
        ConfigError: the folder has no plan, or a file of code in the plan may not be run.
        StorageError: weights that the run trained are gone.
    """
    reason = ""
    try:
        plan = read_plan(store)
    except ConfigError as error:
        if not os.path.lexists(store.root / "plan.json"):
            raise
        reason = str(error)
    else:
        check_allowed(plan, trust_code=environment.trust_code)
    yield from check_files(store)
    if reason:  # the files have been checked before
        yield Check(name="plan", looked=1, wrong=1, evidence=reason)
        if lack := completeness_check(store):
            yield lack
        return
    if not store.planned():
        yield completeness_check(store) or Check(name=UNITS, looked=0, wrong=0, missing=1)
        return
    failures = failed_models(store)
    workshop = Workshop(plan, store.root / "models", environment, reporter, dict(failures))
    work = rebuilt_work(plan, workshop, engine_of(store))
    hashes = check_keys(work, store)
    yield hashes
    if lack := completeness_check(store, None if hashes.wrong else len(planned_keys(work))):
        yield lack
    if failures:
        names = "; ".join(f"{name}: {text}" for name, text in failures.items())
        count = len(plan.models) - len(failures)
        yield Check(name=MODELS, looked=count, wrong=0, missing=len(failures), evidence=names)
    if hashes.wrong:
        return  # other models or other images: judging the stored images on them would be meaningless
    yield from check_claims(work, store)
    yield from check_other_batches(work, store, batch_size=batch_size)
    if repeats := check_repeats(work, store, sample=sample, seed=seed):
        yield repeats
    if bounds := check_bounds(work, store, sample=sample, seed=seed):
        yield bounds
