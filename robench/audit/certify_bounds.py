"""Certify the images of a plan on one of its models by bounds; `robench run` finds these records again."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from robench.audit.certificate_file import write_certificates
from robench.errors import ConfigError, JobError
from robench.plan.spec import BoundSpec, Choice, Plan, ThreatSpec
from robench.record.new_folder import prepared
from robench.record.schema import Record
from robench.record.store import Store
from robench.run.evaluate import CleanAnswers, Context, do_job
from robench.run.keeper import FolderKeeper
from robench.run.layout import lay_out
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Environment
from robench.run.workers.leases import Leases

COLUMNS = (
    "index",
    "label",
    "prediction",
    "correct",
    "method",
    "norm",
    "eps",
    "certified",
    "bound",
    "seconds",
)


class Radius(NamedTuple):
    """A norm, a radius, and the radius as the user wrote it."""

    norm: str
    eps: float
    eps_text: str


class Bounded(NamedTuple):
    """The result of bounding the images.

    Attributes:
        records: one for each piece of the images, method and radius.
        path: the CSV file they were written to.
        seconds: time of the work.
        failed: how many jobs failed.
    """

    records: list[Record]
    path: Path
    seconds: float
    failed: int


def bounded_plan(plan: Plan, name: str, methods: Sequence[Choice], radii: Sequence[Radius] = ()) -> Plan:
    """Return the plan reduced to bounds of one model, and to the model whose network it shares, if any.

    Args:
        plan: the validated plan.
        name: name of the model.
        methods: ways to bound; if empty, those of the plan's threats, or CROWN if these have none.
        radii: norms and radii; if empty, those of the plan's threats.

    Raises:
        ConfigError: no finite radius is known.
    """
    spec = next(spec for spec in plan.models if spec.name == name)
    names = {name, spec.features_of}
    choices = tuple(BoundSpec(label=one.name, bound=one, models=(name,)) for one in methods)
    threats: dict[tuple[str, float], ThreatSpec] = {}
    for threat in plan.threats:
        if not radii and threat.eps < math.inf and (threat.norm, threat.eps) not in threats:
            own = tuple(
                replace(bound, models=(name,)) for bound in threat.bounds if name in (bound.models or (name,))
            )
            threats[threat.norm, threat.eps] = _alone(Radius(threat.norm, threat.eps, threat.eps_text),
                                                      choices or own or _crown(name))  # fmt: skip
    threats |= {(one.norm, one.eps): _alone(one, choices or _crown(name)) for one in radii}
    if not threats:
        raise ConfigError(
            where="--eps", expected="a radius to certify, or a threat with a finite eps", got="neither",
            do="Write --eps 2/255",
        )  # fmt: skip
    models = tuple(spec for spec in plan.models if spec.name in names)
    return replace(plan, models=models, threats=tuple(threats.values()))


def _crown(name: str) -> tuple[BoundSpec, ...]:
    return (BoundSpec(label="crown", bound=Choice(name="crown"), models=(name,)),)


def _alone(radius: Radius, bounds: tuple[BoundSpec, ...]) -> ThreatSpec:
    return ThreatSpec(norm=radius.norm, eps=radius.eps, eps_text=radius.eps_text, bounds=bounds)


def certify_by_bounds(
    plan: Plan, name: str, out: Path, *, environment: Environment, reporter: Reporter = QUIET
) -> Bounded:
    """Train or load the model of a plan of bounds alone, and bound its evaluation images.

    Records that are already in the folder are used; a later run with the same bounds uses the new ones.

    Args:
        plan: as `bounded_plan` returned it.
        name: name of the model.
        out: the run folder.
        environment: where the work is done, and what it may do there.
        reporter: shows progress.

    Raises:
        ConfigError: the model has no bounds; the layer is named.
        JobError: its training failed.
    """
    start = time.perf_counter()
    store = Store(out, told=reporter.finding)
    with prepared(store), Leases(store.root / "leases").joined("", alone=True):
        layout = lay_out(plan, store, environment, reporter)
        if name in layout.failed_models:
            raise JobError(where=f"model {name!r}", expected="a model", got=layout.failed_models[name])
        keeper = FolderKeeper(store, force=environment.force)
        context = Context.of(layout.work, keeper, reporter)
        jobs = [
            job for shard in layout.work.shards() for job in layout.work.jobs(shard) if job.units[0].bounding
        ]
        reporter.start(len(jobs))
        records = []
        for job in jobs:
            for unit, outcome in do_job(job, CleanAnswers(job.shard, layout.work.settings, keeper), context):
                reporter.advance(unit.title, cached=outcome.cached)
                records.append(outcome.record)
        path = write_certificates(store, name, as_csv(records), reporter)
    return Bounded(records, path, time.perf_counter() - start, keeper.failures)


def certified_counts(records: Sequence[Record]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return, by radius and method in words, how many images are certified, and of how many."""
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for record in records:
        place = (f"{record.threat.norm} {record.threat.eps_text}", record.attack.label)
        count, n = counts.get(place, (0, 0))
        own = record.certificates.certified if record.certificates else []
        counts[place] = (count + sum(own), n + len(own))
    return counts


def as_csv(records: Sequence[Record]) -> str:
    """Return one line per image, method and radius, after a line with the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    words = ("false", "true")
    for record in records:
        own, columns = record.certificates, record.columns
        if own is None:
            continue
        for index, label, clean, verdict, bound, seconds in zip(
            columns.index, columns.label, columns.clean, own.certified, own.bound, own.seconds, strict=True
        ):
            writer.writerow(
                [
                    index, label, clean, words[label == clean], record.attack.label, record.threat.norm,
                    f"{record.threat.eps:.9g}", words[verdict], f"{bound:.9g}", f"{seconds:.3f}",
                ]
            )  # fmt: skip
    return text.getvalue()
