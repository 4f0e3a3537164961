"""Believe nothing a run folder says: rebuild its models, judge its images afresh, do some jobs again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from robench import plugins
from robench.audit.rejudgement import (
    TOLERANCE,
    Check,
    check_claims,
    check_other_batches,
    differing,
)
from robench.errors import ConfigError, StorageError
from robench.plan.spec import Plan
from robench.randomness import Randomness
from robench.record.schema import Record
from robench.record.store import Store
from robench.run.evaluate import Work
from robench.run.execute import boards_of
from robench.run.keeper import FolderKeeper
from robench.run.preparation import TrainingWatcher, Workshop
from robench.run.units import Shard, craft_unit, judge_unit


def read_plan(store: Store) -> Plan:
    """Return the plan that a run folder was made by.

    Raises:
        ConfigError: there is none, or it is not one of this version.
    """
    from pydantic import TypeAdapter, ValidationError

    data = store.read_json("plan.json")
    try:
        return TypeAdapter(Plan).validate_python(data)
    except ValidationError as error:
        raise ConfigError(
            where=str(store.root / "plan.json"),
            expected="the plan of a finished run",
            got="none" if data is None else str(error.errors()[0]["msg"]),
            do="Name the folder that `robench run` printed last",
        ) from None


def check_files(store: Store) -> list[Check]:
    """Read every record of the run, and make its tables again from them."""
    run = store.read_json("run.json") or {}
    listed = [str(key) for key in run.get("units", [])]
    unreadable, records = [], []
    for key in listed:
        try:
            records.append(store.read(key))
        except StorageError as error:
            unreadable.append(str(error))
    missing = max(int(run.get("expected", 0)) - len(listed), 0)
    evidence = unreadable[0] if unreadable else (f"{missing} units were never finished" if missing else "")
    made = Check(name="records", looked=len(listed), wrong=len(unreadable) + missing, evidence=evidence)
    return [made, _tables(store, records)]


def _tables(store: Store, records: Sequence[Record]) -> Check:
    """Compare the tables in the folder with the same made now, in a folder of their own."""
    from tempfile import TemporaryDirectory

    different, looked = [], 0
    with TemporaryDirectory() as folder:
        for name in ("csv", "markdown"):
            for path in plugins.find("reports", name)()(records, Path(folder)):
                kept = store.root / path.name
                if kept.is_file():
                    looked += 1
                    if kept.read_bytes() != path.read_bytes():
                        different.append(path.name)
    return Check(name="tables", looked=looked, wrong=len(different), evidence=", ".join(different))


def check_keys(work: Work, store: Store) -> Check:
    """Hash weights, images, attacks and settings again, and compare with the names of the units."""
    wanted = {key for shard in work.shards() for key in _keys(work, shard)}
    listed = set((store.read_json("run.json") or {}).get("units", []))
    strange = sorted(listed ^ wanted)
    do = "weights, images, options or versions are not those the run was made with" if strange else ""
    return Check(name="hashes", looked=len(wanted), wrong=len(strange), evidence=do)


def _keys(work: Work, shard: Shard) -> Iterator[str]:
    for subject in work.subjects:
        yield work.clean_key(subject, shard)
    for job in work.crafts():
        for target in work.targets(job.source):
            yield work.record_key(job, shard, target)


def check_repeats(work: Work, store: Store, *, sample: int, seed: int) -> Check:
    """Do a random sample of the jobs again from the start, and compare the images and the verdicts."""
    keeper = FolderKeeper(store)
    jobs = [(shard, job) for shard in work.shards() for job in work.crafts()]
    draws = Randomness(seed, torch.arange(len(jobs)), ("verify",)).uniform(torch.empty(len(jobs), 1))
    chosen = [jobs[i] for i in draws[:, 0].argsort()[:sample].tolist()]
    verdicts = turned = 0
    furthest = 0.0
    for shard, job in chosen:
        made = craft_unit(
            job.source,
            job.gradient_source,
            job.attack,
            job.board.threat,
            shard,
            seed=work.seed,
            drop=work.drop,
            batch_size=work.batch_size,
        )
        kept = keeper.crafted(work.craft_key(job, shard))
        if kept is not None:
            furthest = max(furthest, float((made.x_adv - kept.x_adv).abs().max()))
        key = work.record_key(job, shard, job.source)
        try:
            before = store.read(key).columns.status
        except StorageError:
            continue  # `records` tells of it
        record, _ = judge_unit(
            key,
            job.source,
            job.source,
            job.gradient_source,
            job.label,
            job.attack,
            job.board,
            shard,
            made,
            seed=work.seed,
            clean=None,
            batch_size=work.batch_size,
            draws=work.draws,
        )
        verdicts += len(before)
        turned += differing(record.columns.status, before)
    several = f"{len(chosen)} of {len(jobs)} jobs"
    return Check(
        name="repeats",
        looked=verdicts,
        wrong=turned,
        allowed=int(2 * TOLERANCE * verdicts),
        evidence=f"{several}; pixels differ by at most {furthest:.2g}",
    )


def verify(
    store: Store,
    *,
    device: str,
    data_root: Path | None,
    download: bool,
    trust_code: bool,
    sample: int,
    batch_size: int,
    seed: int,
    watcher: TrainingWatcher,
) -> Iterator[Check]:
    """Yield what was checked of a finished run, cheapest first; nothing is trained and nothing is written.

    Args:
        store: the run folder.
        device: where to rebuild the models.
        data_root: folder with data sets, or None for the cache.
        download: whether the network may be used.
        trust_code: whether a user's Python file may be imported.
        sample: how many jobs to do again.
        batch_size: images per pass of the new judgement; best another than the run's.
        seed: for the choice of the sample.
        watcher: who is told.

    Raises:
        ConfigError: no plan is in the folder.
        StorageError: weights that the run trained are gone.
    """
    plan = read_plan(store)
    yield from check_files(store)
    workshop = Workshop(
        plan=plan,
        folder=store.root / "models",
        device=device,
        data_root=data_root,
        download=download,
        trust_code=trust_code,
        force=False,
        watcher=watcher,
    )
    work = _rebuilt(plan, workshop)
    hashes = check_keys(work, store)
    yield hashes
    if hashes.wrong:
        return  # other models or other images: judging the stored images on them would say nothing
    yield from check_claims(work, store)
    yield from check_other_batches(work, store, batch_size=batch_size)
    yield check_repeats(work, store, sample=sample, seed=seed)


def _rebuilt(plan: Plan, workshop: Workshop) -> Work:
    data = workshop.load(plan.data)
    lost = workshop.untrained(data.shape, len(data.classes))
    if lost:
        raise StorageError(
            where="verify",
            expected="the weights the run was made with",
            got=f"none for {', '.join(lost)}",
            do="Keep the folder `models` of the run",
        )
    return Work(
        subjects=workshop.subjects(data.shape, len(data.classes)),
        data=data,
        boards=boards_of(plan.threats),
        transfer=plan.transfer,
        seed=plan.seed,
        shard=plan.shard,
        batch_size=plan.batch_size,
        draws=plan.draws,
    )
