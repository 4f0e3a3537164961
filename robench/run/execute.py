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
from robench.plan.spec import Plan, ThreatSpec, content_hash, to_json
from robench.record.store import Store
from robench.run.evaluate import Finished, evaluate
from robench.run.feature_recording import record_features
from robench.run.jobs import Board
from robench.run.keeper import FolderKeeper
from robench.run.preparation import Workshop
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Environment, Settings
from robench.run.work import Work


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
    environment: Environment,
    reporter: Reporter = QUIET,
    command: str = "",
    eager: bool = False,
) -> Outcome:
    """Run a plan in a folder; the same call again does only what is missing.

    Args:
        plan: the validated plan.
        out: the run folder; made if it does not exist.
        config_text: the configuration as the user wrote it, kept verbatim.
        environment: where it is done, and what it may do there.
        reporter: who is told.
        command: what the user typed, kept for readers.
        eager: ask every network as it is, not by a faster copy that was proven equal.

    Raises:
        RobenchError: the plan cannot be run here (nothing was evaluated), or the disk refused.
    """
    started = time.perf_counter()
    device = resolve_device(environment.device)
    boards = boards_of(plan.threats)
    store = Store(out, told=reporter.finding)
    store.prepare()
    with store.lock():
        workshop = Workshop(plan, store.root / "models", environment, reporter)
        data = workshop.load(plan.data)
        store.begin(to_json(plan), config_text)
        models = workshop.models(data.shape, len(data.classes))
        work = Work(models=models, data=data, boards=boards, settings=Settings.of(plan, eager=eager))
        _tell_notes(work, reporter)
        keeper = FolderKeeper(store, force=environment.force)
        for shard in work.shards():
            keeper.keep_images(shard.digest, shard.data)
        summary = _Summary(plan=plan, expected=work.units(), failed_models=workshop.failures)
        judging = time.perf_counter()
        reporter.start(summary.expected)
        try:
            for finished in evaluate(work, keeper, reporter):
                summary.add(finished)
                store.note(finished.record.key)
            judging = time.perf_counter() - judging
            for key in record_features(work, keeper, reporter):
                summary.geometry.append(key)
            summary.status = "failed jobs" if workshop.failures or keeper.failures else "finished"
        finally:
            facts = {"command": command, "versions": versions(), **hardware(device)}
            store.write_json("run.json", summary.to_json(facts, keeper.failed_jobs))
            reporter.close()
    return Outcome(
        finished=len(summary.units) - summary.cached,
        cached=summary.cached,
        failed=len(workshop.failures) + keeper.failures,
        seconds=time.perf_counter() - started,
        images=summary.images,
        judging=judging,
    )


def train_only(
    plan: Plan, out: Path, *, config_text: str, environment: Environment, reporter: Reporter = QUIET
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
    resolve_device(environment.device)
    store = Store(out, told=reporter.finding)
    store.prepare()
    with store.lock():
        workshop = Workshop(plan, store.root / "models", environment, reporter)
        data = workshop.load(plan.data)
        store.begin(to_json(plan), config_text)
        try:
            paths = workshop.train(data.shape, len(data.classes))
        finally:
            reporter.close()
    for path in paths:
        reporter.stage(f"weights: {path}")
    return Outcome(
        finished=len(paths),
        cached=0,
        failed=len(workshop.failures),
        seconds=time.perf_counter() - started,
    )


def _tell_notes(work: Work, reporter: Reporter) -> None:
    """Say how networks are asked where that is not plain."""
    for evaluated in work.models:
        for note in {tested.note for tested in networks_under_test(evaluated.model.net)} - {""}:
            reporter.stage(f"{evaluated.model.name}: {note}")


@dataclass(slots=True, kw_only=True)
class _Summary:
    """What `run.json` says, counted while the run goes on."""

    plan: Plan
    expected: int
    failed_models: dict[str, str]
    status: str = "interrupted"
    units: list[str] = field(default_factory=list)
    geometry: list[str] = field(default_factory=list)
    cached: int = 0
    images: int = 0

    def add(self, finished: Finished) -> None:
        """Count a finished unit."""
        self.units.append(finished.record.key)
        self.cached += finished.cached
        self.images += 0 if finished.cached else len(finished.record.columns.index)

    def to_json(self, facts: dict[str, Any], failed_jobs: dict[str, list[str]]) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "name": self.plan.name,
            "status": self.status,
            "units": self.units,
            "expected": self.expected,
            "failed_models": self.failed_models,
            **facts,
            "geometry": self.geometry,
            "failed_jobs": failed_jobs,
            "plan": content_hash(self.plan),
        }
