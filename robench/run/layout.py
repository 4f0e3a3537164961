"""From a plan to its work: boards, images, and prepared models."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from robench.attack.craft import check_attack
from robench.attack.norms import norm_named
from robench.attack.threat import Goal, ThreatModel
from robench.attack.user_attacks import attack_named
from robench.engines import Engine
from robench.machine import MadeWith, hardware, versions
from robench.model.tested_network import networks_under_test
from robench.plan.bounds import method_of
from robench.plan.named_code import check_allowed
from robench.plan.spec import Plan, ThreatSpec
from robench.record.store import Store
from robench.run.bounding import BoundColumn
from robench.run.crafting import Board
from robench.run.keeper import FolderKeeper
from robench.run.models.model_accounts import keep_tracebacks
from robench.run.models.preparation import Workshop
from robench.run.progress import Reporter
from robench.run.settings import Environment, Settings
from robench.run.time_estimate import multiplied, parts_of
from robench.run.work import Work

FIRST_ANSWERS = 3
"""Images that every model classifies before any measurement: two at once, and one alone."""


def boards_of(threats: tuple[ThreatSpec, ...], *, trust_code: bool = False) -> list[Board]:
    """Turn threat specifications into boards of attack recipes and ways to bound.

    Args:
        threats: threats of a plan.
        trust_code: whether an attack's file may be run.

    Raises:
        ConfigError: an option of an attack or of a bound is refused, an attack does not support its threat,
            or its file may not be run.
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
            choice = column.attack
            attack = attack_named(choice.name, choice.options, trust_code=trust_code, where=choice.where)
            check_attack(attack, threat, label=choice.where or column.label)
            attacks[column.label] = attack
        bounds = {
            column.label: BoundColumn(
                method_of(column.bound.name, column.bound.options, where=column.bound.where), column.models
            )
            for column in spec.bounds
        }
        boards.append(Board(threat=threat, eps_text=spec.eps_text, attacks=attacks, bounds=bounds))
    return boards


def measured_pace(lay_out_work: Callable[[], Work], reporter: Reporter) -> tuple[Work, float]:
    """Lay out the work; return it and an upper estimate of the seconds that a model needs for one image.

    Laying out lets every model classify its first few images. Its whole time, including checks and the report
    of the workload, is divided by the number of images of one model, as if that model had taken all of it. So
    the estimate is never too low: every job's time limit (`robench.run.workers.time_limit`) depends on it.

    Args:
        lay_out_work: lays out the work.
        reporter: gets the workload.
    """
    start = time.perf_counter()
    work = lay_out_work()
    reporter.workload(list(parts_of(work)))
    return work, (time.perf_counter() - start) / FIRST_ANSWERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A plan laid out in a process.

    Attributes:
        work: everything to do.
        failed_models: why models could not be made, by name.
        facts: versions and hardware, as in `run.json`.
        seconds_per_image: upper estimate of a model's seconds for one image; see `measured_pace`.
    """

    work: Work
    failed_models: dict[str, str]
    facts: MadeWith
    seconds_per_image: float


def lay_out(
    plan: Plan,
    store: Store,
    environment: Environment,
    reporter: Reporter,
    *,
    engine: Engine = "auto",
    failed: dict[str, str] | None = None,
    begin: Callable[[], None] | None = None,
) -> Layout:
    """Prepare the models of a plan, train networks that are not trained yet, and lay out the work.

    Args:
        plan: the validated plan.
        store: the run folder.
        environment: device and permissions of the run.
        reporter: shows progress.
        engine: how attacks call networks; see `robench.engines`.
        failed: models that are not tried again, with the reason.
        begin: called when the folder begins to belong to this plan: once the images are loaded, if networks
            are trained, which takes long; otherwise once the networks are made too.

    Raises:
        RobenchError: the plan cannot be run here; nothing was evaluated.
    """
    environment = environment.resolved()
    check_allowed(plan, trust_code=environment.trust_code)
    boards = boards_of(plan.threats, trust_code=environment.trust_code)
    workshop = Workshop(plan, store.root / "models", environment, reporter, dict(failed or {}))
    data = workshop.load(plan.data)
    trains = any(spec.train for spec in plan.models)
    if begin and trains:
        begin()
    models = workshop.models(data.shape, len(data.classes))
    keep_tracebacks(store, workshop.failures, workshop.tracebacks)
    settings = Settings.of(plan, engine=engine)
    work, pace = measured_pace(
        lambda: Work(models=models, data=data, boards=boards, settings=settings, begin=reporter.model),
        reporter,
    )
    if begin and not trains:
        begin()
    for entry in work.models:  # how networks are called, if in a special way
        for note in {network.note for network in networks_under_test(entry.model.net)} - {""}:
            reporter.stage(f"{entry.model.name}: {note}")
    for warning in multiplied(work):
        reporter.stage(warning)
    keeper = FolderKeeper(store)
    for shard in work.shards():
        keeper.keep_images(shard.digest, shard.data)
    facts: MadeWith = {"versions": versions(), **hardware(environment.device)}
    return Layout(work=work, failed_models=workshop.failures, facts=facts, seconds_per_image=pace)
