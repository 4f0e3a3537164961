"""Do a plan: prepare the models, evaluate, keep everything in a run folder, resume what is missing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robench import plugins, recipe
from robench.attack.norms import norm_named
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.machine import hardware, resolve_device, versions
from robench.model.tested_network import networks_under_test
from robench.plan.spec import Plan, ThreatSpec, to_json
from robench.record.schema import Record
from robench.record.store import Store
from robench.run.accuracy_so_far import Standings
from robench.run.evaluate import Work, evaluate
from robench.run.feature_recording import survey
from robench.run.keeper import FolderKeeper
from robench.run.preparation import Workshop
from robench.run.progress import Reporter
from robench.run.units import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run did.

    Attributes:
        finished: units computed now.
        cached: units that were there already.
        failed: units or models that failed; the rest is saved.
        seconds: wall-clock time.
        images: images judged in the units computed now.
        judging: seconds of it that attacks and verdicts took; preparation and training are not in it.
    """

    finished: int
    cached: int
    failed: int
    seconds: float
    images: int = 0
    judging: float = 0.0


@dataclass(slots=True)
class Count:
    """Counts what a reporter is told."""

    reporter: Reporter
    finished: int = 0
    cached: int = 0
    failures: int = 0
    images: int = 0
    standings: Standings = field(default_factory=Standings)

    def begin(self, text: str) -> None:
        """Pass on which unit is worked on."""
        self.reporter.begin(text)

    def advance(self, text: str, *, cached: bool, record: Record | None = None) -> None:
        """Count a unit and pass it on; one that failed has no record and is not finished."""
        standing = self.standings.add(record) if record else None
        if record:
            self.finished += not cached
            self.cached += cached
            self.images += 0 if cached else len(record.columns.index)
        self.reporter.advance(text, not cached, standing)

    def failed(self, text: str) -> None:
        """Count a failure and pass it on."""
        self.failures += 1
        self.reporter.failed("", text)

    def stage(self, text: str) -> None:
        """Pass on what begins."""
        self.reporter.stage(text)

    def training(self, row: dict[str, float]) -> None:
        """Pass on a row of a training's history."""
        self.reporter.training(row)

    def finding(self, text: str) -> None:
        """Pass on a reason to doubt a network."""
        self.reporter.finding(text)


def boards_of(threats: tuple[ThreatSpec, ...]) -> list[Board]:
    """Turn threat specifications into boards of attack recipes.

    Raises:
        ConfigError: an option of an attack is refused.
    """
    boards = []
    for spec in threats:
        threat = ThreatModel(
            norm=norm_named(spec.norm),
            eps=spec.eps,
            goal=Goal(spec.goal),
            knowledge=spec.knowledge,
            budget=spec.budget,
        )
        attacks = {}
        for column in spec.attacks:
            kind = plugins.find("attacks", column.attack.name, where=column.attack.where)
            attacks[column.label] = recipe.build(kind, column.attack.options, where=column.attack.where)
        boards.append(Board(threat=threat, eps_text=spec.eps_text, attacks=attacks))
    return boards


def execute(
    plan: Plan,
    out: Path,
    *,
    config_text: str,
    device: str,
    data_root: Path | None,
    download: bool,
    trust_code: bool,
    force: bool,
    reporter: Reporter,
    command: str = "",
    eager: bool = False,
) -> Outcome:
    """Run a plan in a folder; the same call again does only what is missing.

    Args:
        plan: the validated plan.
        out: the run folder; made if it does not exist.
        config_text: the configuration as the user wrote it, kept verbatim.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        data_root: folder with data sets, or None for the cache.
        download: whether the network may be used.
        trust_code: whether a user's Python file may be imported.
        force: compute everything again.
        reporter: who is told.
        command: what the user typed, kept for readers.
        eager: ask every network as it is, not by a faster copy that was proven equal.

    Raises:
        RobenchError: the plan cannot be run here (nothing was evaluated), or the disk refused.
    """
    started = time.perf_counter()
    chosen = resolve_device(device)
    boards = boards_of(plan.threats)
    store = Store(out)
    store.prepare()
    with store.lock():
        count = Count(reporter)
        workshop = _workshop(plan, store, chosen, data_root, download, trust_code, force, count)
        data = workshop.load(plan.data)
        store.write_text("config.yaml", config_text)
        store.write_json("plan.json", to_json(plan))
        subjects = workshop.subjects(data.shape, len(data.classes))
        work = Work(
            subjects=subjects,
            data=data,
            boards=boards,
            transfer=plan.transfer,
            seed=plan.seed,
            shard=plan.shard,
            batch_size=plan.batch_size,
            eager=eager,
            draws=plan.draws,
        )
        for subject in subjects:
            for note in {tested.note for tested in networks_under_test(subject.model.net)} - {""}:
                reporter.stage(f"{subject.model.name}: {note}")
        keeper = FolderKeeper(store, force=force)
        for shard in work.shards():
            keeper.keep_images(shard.digest, shard.data)
        total = work.units()
        judging = time.perf_counter()
        reporter.start(total, 0)
        keys: list[str] = []
        geometry: list[str] = []
        status = "interrupted"
        try:
            for key in evaluate(work, keeper, count):
                keys.append(key)
            judging = time.perf_counter() - judging
            for key in survey(work, keeper, count):
                geometry.append(key)
            status = "failed jobs" if count.failures else "finished"
        finally:
            facts = {"command": command, "versions": versions(), **hardware(chosen)}
            facts |= {"geometry": geometry, "failed_jobs": keeper.failed_jobs}
            store.write_json("run.json", _summary(plan, keys, total, status, facts, workshop.failures))
            reporter.close()
    return Outcome(
        finished=count.finished,
        cached=count.cached,
        failed=count.failures,
        seconds=time.perf_counter() - started,
        images=count.images,
        judging=judging,
    )


def train_only(
    plan: Plan,
    out: Path,
    *,
    config_text: str,
    device: str,
    data_root: Path | None,
    download: bool,
    trust_code: bool,
    force: bool,
    reporter: Reporter,
) -> Outcome:
    """Train every network of a plan that names a defense, with checkpoints and resume; evaluate nothing.

    Raises:
        ConfigError: no model of the plan is trained, or the plan cannot be run here.
    """
    started = time.perf_counter()
    if not any(spec.train for spec in plan.models):
        raise ConfigError(
            where=plan.name, expected="a model with `train:`", got="none", do="Use `robench run` instead"
        )
    chosen = resolve_device(device)
    store = Store(out)
    store.prepare()
    with store.lock():
        count = Count(reporter)
        workshop = _workshop(plan, store, chosen, data_root, download, trust_code, force, count)
        data = workshop.load(plan.data)
        store.write_text("config.yaml", config_text)
        store.write_json("plan.json", to_json(plan))
        try:
            paths = workshop.train(data.shape, len(data.classes))
        finally:
            reporter.close()
    for path in paths:
        reporter.stage(f"weights: {path}")
    return Outcome(
        finished=len(paths), cached=0, failed=count.failures, seconds=time.perf_counter() - started
    )


def _workshop(
    plan: Plan,
    store: Store,
    device: str,
    data_root: Path | None,
    download: bool,
    trust_code: bool,
    force: bool,
    count: Count,
) -> Workshop:
    return Workshop(
        plan=plan,
        folder=store.root / "models",
        device=device,
        data_root=data_root,
        download=download,
        trust_code=trust_code,
        force=force,
        watcher=count,
    )


def _summary(
    plan: Plan,
    keys: list[str],
    total: int,
    status: str,
    facts: dict[str, Any],
    failures: dict[str, str],
) -> dict[str, Any]:
    return {
        "name": plan.name,
        "status": status,
        "units": keys,
        "expected": total,
        "failed_models": failures,
        **facts,
    }
