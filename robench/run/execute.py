"""Run a plan: prepare the models, evaluate, store everything in a run folder, resume unfinished work."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from robench.engines import Engine
from robench.errors import ConfigError
from robench.plan.named_code import check_allowed
from robench.plan.spec import Plan, content_hash, to_json
from robench.plurals import counted
from robench.record.new_folder import prepared
from robench.record.store import Store
from robench.run.models.model_accounts import keep_tracebacks, settle_accounts
from robench.run.outcome import Outcome, Summary
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Environment, Request
from robench.run.workers.executor import Executor, Processes
from robench.run.workers.leases import Leases
from robench.run.workers.supervisor import Supervisor
from robench.run.workers.worker_process import ThisMachine


def execute(
    plan: Plan,
    out: Path,
    *,
    config_text: str,
    environment: Environment,
    reporter: Reporter = QUIET,
    request: Request | None = None,
    engine: Engine = "auto",
    processes: Processes | None = None,
) -> Outcome:
    """Run a plan in a folder; the same call again does only what is missing.

    Args:
        plan: the validated plan.
        out: the run folder; made if it does not exist.
        config_text: the configuration as the user wrote it, kept verbatim.
        environment: where it is done, and what it may do there.
        reporter: gets the progress.
        request: what the user asked for beside the plan; None if it was not typed at a prompt.
        engine: how attacks ask networks; see `robench.engines`.
        processes: the worker processes that do it, so that a model that dies, hangs or eats memory costs its
            own jobs only; None does everything in this process, and nobody else may use the folder.

    Raises:
        RobenchError: the plan cannot be run here (nothing was evaluated), or writing to disk failed.
        KeyboardInterrupt: it was asked to stop; what is finished is kept.
    """
    start = time.perf_counter()
    store = Store(out, told=reporter.finding)
    request = request or Request()
    summary = Summary(plan=plan, command=request.command, asked=dict(request.asked))
    judging = 0.0
    alone = processes is None or environment.force
    check: Callable[[], None] = partial(processes.stop.check, working=False) if processes else lambda: None
    folder = Leases(store.root / "leases", check=check)
    with prepared(store), folder.joined(content_hash(to_json(plan)), alone=alone) as leases:
        begin = partial(store.begin, to_json(plan), config_text)
        before = store.planned() if store.plan_digest() == content_hash(to_json(plan)) else []
        try:
            if processes is None:
                judging = _do_here(summary, store, environment, reporter, engine=engine, begin=begin)
            else:
                judging = Supervisor(
                    summary=summary,
                    store=store,
                    begin=begin,
                    leases=leases,
                    environment=environment,
                    reporter=reporter,
                    engine=engine,
                    processes=processes,
                    executor=ThisMachine() if processes.ray is None else _ray(processes),
                ).run()
        finally:
            if summary.facts:  # otherwise nothing was evaluated, and an earlier `run.json` stays
                summary.config = store.config_digest()
                store.write_json("run.json", summary.to_json())
                settle_accounts(store, [spec.name for spec in plan.models], summary.failed_models)
                if summary.status == "finished" and (others := set(before) - set(summary.units)):
                    summary.replaced = _replaced(out, len(others))
                    reporter.finding(summary.replaced)
            reporter.close()
    return summary.outcome(seconds=time.perf_counter() - start, judging=judging)


def _replaced(out: Path, count: int) -> str:
    """Say that the tables showed different results of the same plan until now."""
    return (
        f"{out} held {counted(count, 'finished unit')} of other weights, code, data, threads or version by "
        f"the same plan: kept in {out / 'units'}, and no longer in its tables"
    )


def _ray(processes: Processes) -> Executor:
    """Return a Ray cluster.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
    """
    from robench.run.workers.ray_cluster import RayCluster

    return RayCluster(processes.ray or "", threads=processes.threads)


def _do_here(
    summary: Summary,
    store: Store,
    environment: Environment,
    reporter: Reporter,
    *,
    engine: Engine,
    begin: Callable[[], None],
) -> float:
    """Run a plan in this process; return the seconds that attacks and verdicts took."""
    from robench.run.evaluate import evaluate
    from robench.run.feature_recording import record_features
    from robench.run.keeper import FolderKeeper
    from robench.run.layout import lay_out

    layout = lay_out(summary.plan, store, environment, reporter, engine=engine, begin=begin)
    work = layout.work
    summary.expected, summary.failed_models, summary.facts = work.units(), layout.failed_models, layout.facts
    keeper = FolderKeeper(store, force=environment.force, failed_jobs=summary.failed_jobs)
    start = time.perf_counter()
    reporter.start(summary.expected)
    try:
        for outcome in evaluate(work, keeper, reporter):
            summary.add(outcome)
            store.note(outcome.record.key)
        seconds = time.perf_counter() - start
        for key in record_features(work, keeper, reporter):
            summary.snapshots.append(key)
    finally:
        summary.failures = keeper.failures
    summary.end()
    return seconds


def train_only(
    plan: Plan, out: Path, *, config_text: str, environment: Environment, reporter: Reporter = QUIET
) -> Outcome:
    """Train every network of a plan that names a defense, with checkpoints and resume; evaluate nothing.

    Raises:
        ConfigError: no model of the plan is trained, or the plan cannot be run here.
    """
    from robench.machine import resolve_device
    from robench.run.models.preparation import Workshop

    start = time.perf_counter()
    if not any(spec.train for spec in plan.models):
        raise ConfigError(
            where=plan.name, expected="a model with `train:`", got="none", do="Use `robench run` instead"
        )
    check_allowed(plan, trust_code=environment.trust_code)
    resolve_device(environment.device)
    store = Store(out, told=reporter.finding)
    with prepared(store), Leases(store.root / "leases").joined("", alone=True):
        workshop = Workshop(plan, store.root / "models", environment, reporter)
        data = workshop.load(plan.data)
        store.begin(to_json(plan), config_text)
        shape, classes = data.shape, len(data.classes)
        models = [spec.name for spec in plan.models if spec.train]
        missing = models if environment.force else workshop.untrained(shape, classes)
        try:
            paths = workshop.train(shape, classes)
            keep_tracebacks(store, workshop.failures, workshop.tracebacks)
            settle_accounts(store, models, workshop.failures)
        finally:
            reporter.close()
    for path in paths:
        reporter.stage(f"weights: {path}")
    count = len(models) - len(missing)
    return Outcome(
        finished=len(paths) - count,
        cached=count,
        failed=len(workshop.failures),
        seconds=time.perf_counter() - start,
    )
