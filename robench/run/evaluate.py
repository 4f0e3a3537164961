"""Craft once per source, judge on every target: the loop over shards, boards, attacks and models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from robench.attack.craft import Crafted
from robench.model.prepared import PreparedModels
from robench.record.schema import Record
from robench.run.bound_units import bound_unit
from robench.run.craft_and_judge import asked_again, craft_unit, judge_unit
from robench.run.heartbeat import Heartbeat
from robench.run.jobs import Crafting, Job, Unit, clean_job
from robench.run.keeper import Keeper, failure_text, last_line
from robench.run.progress import QUIET, AccuracySoFar, Finished, Reporter
from robench.run.settings import Settings
from robench.run.shards import Shard
from robench.run.work import Work
from robench.types import Labels


@dataclass(slots=True)
class CleanAnswers:
    """What is known of the models on one shard alone, so that no unit depends on another shard.

    Attributes:
        predictions: by model, the predicted classes (B,) of the clean images.
        codes: by model, the codes of findings about the model itself.
    """

    predictions: dict[str, Labels] = field(default_factory=dict)
    codes: dict[str, frozenset[str]] = field(default_factory=dict)

    def add(self, unit: Unit, record: Record) -> None:
        """Remember what the record of clean images says of its target; any other says nothing new.

        So what a unit is judged with depends neither on the order of the attacks nor on who did them.
        """
        if unit.is_clean:
            name = unit.target.model.name
            self.predictions[name] = torch.tensor(record.columns.clean, dtype=torch.int64)
            self.codes[name] = frozenset(finding.code for finding in record.findings)

    @classmethod
    def kept(cls, work: Work, shard: Shard, keeper: Keeper) -> CleanAnswers:
        """Return what the kept records of a shard's clean images say."""
        answers = cls()
        for model in work.models:
            for unit in clean_job(model, shard, work.settings).units:
                if record := keeper.record(unit.key):
                    answers.add(unit, record)
        return answers


@dataclass(frozen=True, slots=True)
class Context:
    """What every step of an evaluation needs: how it is done, and who keeps, hears and helps."""

    settings: Settings
    keeper: Keeper
    reporter: Reporter
    prepared: PreparedModels
    heartbeat: Heartbeat
    short: set[str] = field(default_factory=set)

    def ran_short(self, micro_batch: int, model: str) -> None:
        """Tell, once for each model, that memory ran out and how many images at once fitted; 0 for never."""
        if micro_batch and model not in self.short:
            self.short.add(model)
            at_once = "1 image" if micro_batch == 1 else f"{micro_batch} images"
            self.reporter.stage(f"{model}: out of memory; done again with {at_once} at once")

    @classmethod
    def of(cls, work: Work, keeper: Keeper, reporter: Reporter) -> Context:
        """Return the context of an evaluation that begins."""
        copies = PreparedModels(eager=work.settings.eager)
        return cls(work.settings, keeper, reporter, copies, Heartbeat(reporter))

    def begin(self, title: str) -> None:
        """Tell which unit is worked on from now."""
        self.heartbeat.begin(title)
        self.reporter.begin(title)

    def failed(self, error: BaseException, key: str, title: str, model: str) -> None:
        """Record why a job failed, and whose row lacks it."""
        text = failure_text(error)
        self.keeper.failed(key, title, text, model=model)
        self.reporter.failed(f"{title}: {last_line(text)}")


def evaluate(work: Work, keeper: Keeper, reporter: Reporter = QUIET) -> Iterator[Finished]:
    """Do the work, skipping what the keeper already has; yield every finished unit, in order.

    A job that raises is recorded as failed and the others go on; errors of configuration or storage are not
    caught. What was yielded is safe.
    """
    context = Context.of(work, keeper, reporter)
    accuracy = AccuracySoFar()
    for shard in work.shards():
        answers = CleanAnswers()
        for job in work.jobs(shard):
            for unit, outcome in do_job(job, answers, context):
                answers.add(unit, outcome.record)
                column = accuracy.add(outcome.record)
                reporter.advance(unit.title, cached=outcome.cached, accuracy=column)
                yield outcome


def do_job(job: Job, answers: CleanAnswers, context: Context) -> Iterator[tuple[Unit, Finished]]:
    """Craft and judge what is missing of one job; yield its units as they are finished.

    A job or a unit that raises is recorded as failed; so is one whose code calls `sys.exit`.
    """
    records = [_kept(unit, answers, context) for unit in job.units]
    result = None
    if job.crafting and any(record is None for record in records):
        result = _crafted(job.crafting, job, context)
        if result is None:
            return
    whole = True
    for unit, stored_record in zip(job.units, records, strict=True):
        if stored_record:
            yield unit, Finished(stored_record, cached=True)
        elif record := _judged(unit, result, answers, context):
            yield unit, Finished(record, cached=False)
        else:
            whole = False
    if whole and job.key:
        context.keeper.finished(job.key)


def _kept(unit: Unit, answers: CleanAnswers, context: Context) -> Record | None:
    """Return a finished record, unless it has another number of fresh draws than it would be given now.

    Of a model that is declared random the key says it. That another is random is only found by asking it.
    """
    record = context.keeper.record(unit.key)
    if record is None or unit.bounding:
        return record
    codes = answers.codes.get(unit.target.model.name, frozenset()) | {f.code for f in record.findings}
    again = asked_again(unit.target.model, codes) and record.columns.index
    return record if record.draws == (context.settings.draws if again else 0) else None


def _crafted(crafting: Crafting, job: Job, context: Context) -> Crafted | None:
    """Return the crafted images of a job, made now if they are not kept; None if that failed."""
    if stored_result := context.keeper.crafted(job.key):
        return stored_result
    context.begin(crafting.title)
    try:
        result = craft_unit(
            crafting,
            job.shard,
            context.settings,
            prepared=context.prepared,
            passes=context.heartbeat.passes,
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary: one job fails
        context.failed(error, job.key, crafting.title, crafting.source.model.name)
        for _ in job.units:
            context.reporter.advance(f"{crafting.title}: failed")
        return None
    context.ran_short(result.micro_batch, crafting.source.model.name)
    context.keeper.keep_crafted(job.key, result)
    return result


def _judged(unit: Unit, result: Crafted | None, answers: CleanAnswers, context: Context) -> Record | None:
    """Return the record of a unit, judged now and kept; None if that failed."""
    name = unit.target.model.name
    context.begin(unit.title)
    clean, codes = answers.predictions.get(name), answers.codes.get(name, ())
    try:
        if unit.bounding:
            record = bound_unit(unit, unit.bounding, context.settings)
        else:
            record = judge_unit(unit, result, context.settings, clean=clean, known=codes)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary: one job fails
        context.failed(error, unit.key, unit.title, name)
        context.reporter.advance(f"{unit.title}: failed")
        return None
    if result is None or record.provenance.micro_batch != result.micro_batch:
        context.ran_short(record.provenance.micro_batch, name)
    context.keeper.keep_record(record)
    return record
