"""Craft once per source, judge on every target: the loop over shards, boards, attacks and models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from robench.attack.craft import Crafted
from robench.model.prepared import PreparedModels
from robench.record.schema import Record
from robench.run.craft_and_judge import craft_unit, judge_unit
from robench.run.crafting import Crafting
from robench.run.jobs import Job, Unit
from robench.run.keeper import Keeper, failure_text, last_line
from robench.run.keys import record_key
from robench.run.progress import QUIET, AccuracySoFar, Finished, Heartbeat, Reporter
from robench.run.records import asked_again
from robench.run.settings import Settings
from robench.run.shards import Shard
from robench.run.work import Work
from robench.types import Labels


class CleanAnswer(NamedTuple):
    """Results of a model on the clean images of a shard.

    Attributes:
        classes: predicted classes (B,); None if they are not known.
        codes: of findings about the model itself.
    """

    classes: Labels | None = None
    codes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, record: Record) -> CleanAnswer:
        """Return the results in a record of clean images."""
        classes = torch.tensor(record.columns.clean, dtype=torch.int64)
        return cls(classes, frozenset(finding.code for finding in record.findings))


@dataclass(slots=True)
class CleanAnswers:
    """Results of the models on the clean images of one shard, so that no unit depends on another shard.

    Records of clean units that this process judged are remembered; those of other processes are read when
    they are needed. So a unit's clean results depend neither on the order of the attacks nor on the process
    that ran them.

    Args:
        shard: the images.
        settings: of the evaluation.
        keeper: has the records of clean images.
    """

    shard: Shard
    settings: Settings
    keeper: Keeper
    _by_model: dict[str, CleanAnswer] = field(default_factory=dict)

    def add(self, unit: Unit, record: Record) -> None:
        """Remember the results of a clean unit; ignore any other unit."""
        if unit.is_clean:
            self._by_model[unit.target.model.name] = CleanAnswer.of(record)

    def about(self, unit: Unit) -> CleanAnswer:
        """Return the clean results for a unit; empty ones if it is clean itself or nothing was crafted."""
        name = unit.target.model.name
        if unit.crafting is None:
            return CleanAnswer()
        if name not in self._by_model:
            record = self.keeper.record(record_key(unit.target, self.shard, self.settings))
            self._by_model[name] = CleanAnswer.of(record) if record else CleanAnswer()
        return self._by_model[name]


@dataclass(frozen=True, slots=True)
class Context:
    """What every step of an evaluation needs: settings, keeper, reporter and prepared models."""

    settings: Settings
    keeper: Keeper
    reporter: Reporter
    prepared: PreparedModels
    heartbeat: Heartbeat
    short: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, work: Work, keeper: Keeper, reporter: Reporter) -> Context:
        """Return the context of a new evaluation."""
        copies = PreparedModels(engine=work.settings.engine)
        return cls(work.settings, keeper, reporter, copies, Heartbeat(reporter))

    @contextmanager
    def attempt(self, title: str, *, key: str, model: str, units: int = 1, line: str = "") -> Iterator[None]:
        """Report the start of some work; if it fails, record why and which model's row lacks it, and go on.

        A call of `sys.exit` counts as a failure too.

        Args:
            title: one readable line.
            key: of the job or unit.
            model: the model in whose row the result belongs.
            units: how many records are missing if it fails.
            line: what is shown while it lasts; the title by default.
        """
        self.heartbeat.begin(line or title)
        try:
            yield
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary: one job fails
            text = failure_text(error)
            self.keeper.failed(key, title, text, model=model, error=error)
            self.reporter.failed(f"{title}: {last_line(text)}")
            for _ in range(units):
                self.reporter.advance(f"{title}: failed")

    def ran_short(self, micro_batch: int, model: str) -> None:
        """Report, once per model, that memory ran out and how many images fitted at once; 0 means never."""
        if micro_batch and model not in self.short:
            self.short.add(model)
            at_once = "1 image" if micro_batch == 1 else f"{micro_batch} images"
            self.reporter.stage(f"{model}: out of memory; done again with {at_once} at once")


def evaluate(work: Work, keeper: Keeper, reporter: Reporter = QUIET) -> Iterator[Finished]:
    """Do the work, except for units that the keeper already has; yield every finished unit, in order.

    A job that raises is recorded as failed and the others go on; errors of configuration or storage are not
    caught. Yielded units are stored.
    """
    context = Context.of(work, keeper, reporter)
    accuracy = AccuracySoFar()
    for shard in work.shards():
        answers = CleanAnswers(shard, work.settings, keeper)
        for job in work.jobs(shard):
            for unit, outcome in do_job(job, answers, context):
                column = accuracy.add(outcome.record)
                reporter.advance(unit.title, cached=outcome.cached, accuracy=column)
                yield outcome


def do_job(job: Job, answers: CleanAnswers, context: Context) -> Iterator[tuple[Unit, Finished]]:
    """Craft and judge the missing units of one job; yield its units as they are finished.

    A job or a unit that raises or calls `sys.exit` is recorded as failed.
    """
    records = [_usable_record(unit, answers, context) for unit in job.units]
    result = None
    if job.crafting and any(record is None for record in records):
        result = context.keeper.crafted(job.key) or _craft_and_keep(job.crafting, job, context)
        if result is None:
            return
    is_complete = True
    for unit, stored_record in zip(job.units, records, strict=True):
        record = stored_record or _judge_and_keep(unit, result, answers, context)
        if record is None:
            is_complete = False
            continue
        answers.add(unit, record)
        yield unit, Finished(record, cached=stored_record is not None)
    if is_complete and job.key:
        context.keeper.finished(job.key)


def _usable_record(unit: Unit, answers: CleanAnswers, context: Context) -> Record | None:
    """Return the stored record of a unit; None if there is none, or if the unit has to be judged again.

    It is judged again if the stored record has another number of fresh draws than a new one would have. This
    never happens for a model that is declared random: its keys contain that number. Whether any other model
    is random shows only in its answers. The keeper then replaces the record (`Keeper.keep_record`).
    """
    record = context.keeper.record(unit.key)
    if record is None or unit.bounding:
        return record
    codes = answers.about(unit).codes | {finding.code for finding in record.findings}
    needs_draws = asked_again(unit.target.model, codes) and record.columns.index
    return record if record.draws == (context.settings.draws if needs_draws else 0) else None


def _craft_and_keep(crafting: Crafting, job: Job, context: Context) -> Crafted | None:
    """Craft the images of a job, keep them, and return them; None if that failed."""
    name, result = crafting.source.model.name, None
    with context.attempt(crafting.title, key=job.key, model=name, units=len(job.units)):
        result = craft_unit(
            crafting,
            job.shard,
            context.settings,
            prepared=context.prepared,
            on_passes=context.heartbeat.on_passes,
        )
    if result is not None:
        context.keeper.keep_crafted(job.key, result)
        context.ran_short(result.micro_batch, name)
    return result


def _judge_and_keep(
    unit: Unit, result: Crafted | None, answers: CleanAnswers, context: Context
) -> Record | None:
    """Judge a unit, keep its record, and return it; None if that failed."""
    name, record = unit.target.model.name, None
    clean, codes = answers.about(unit)
    # A large network takes a minute for its probes, and little for its answers.
    line = f"{unit.title}, and probes of its gradients" if unit.is_clean else unit.title
    with context.attempt(unit.title, key=unit.key, model=name, line=line):
        if unit.bounding:
            from robench.run.bound_units import bound_unit  # with scipy's optimizers, half a second

            record = bound_unit(unit, unit.bounding, context.settings)
        else:
            record = judge_unit(unit, result, context.settings, clean=clean, known=codes)
    if record is not None:
        context.keeper.keep_record(record)
        if result is None or record.provenance.micro_batch != result.micro_batch:
            context.ran_short(record.provenance.micro_batch, name)
    return record
