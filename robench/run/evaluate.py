"""Craft once per source, judge on every target: the loop over shards, boards, attacks and models."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from robench.attack.craft import Crafted, check_attack
from robench.attack.protocol import Attack
from robench.attack.visibility import check_noise
from robench.data.images import ImageSet
from robench.errors import ConfigError, InputError, RobenchError
from robench.model.answer_checks import check_networks
from robench.model.interface import Coupling
from robench.model.prepared import PreparedModels
from robench.plan.spec import DRAWS
from robench.record.schema import Record
from robench.run.evaluated_model import Subject, aimed_at
from robench.run.units import CLEAN, Board, Shard, asked_again, craft_key, craft_unit, judge_unit, record_key
from robench.types import Labels


class Keeper(Protocol):
    """Where finished work is kept: memory, or a run folder."""

    def record(self, key: str) -> Record | None:
        """Return a finished record, or None."""
        ...

    def keep_record(self, record: Record) -> None:
        """Keep a record; on return it survives a crash."""
        ...

    def crafted(self, key: str) -> Crafted | None:
        """Return crafted images, or None."""
        ...

    def keep_crafted(self, key: str, crafted: Crafted) -> None:
        """Keep crafted images."""
        ...

    def failed(self, key: str, title: str, text: str, *, model: str = "") -> None:
        """Note that a job failed, and whose row lacks it."""
        ...


class Watcher(Protocol):
    """Who is told how the work goes on."""

    def begin(self, text: str) -> None:
        """Note which unit is worked on from now."""
        ...

    def advance(self, text: str, *, cached: bool, record: Record | None = None) -> None:
        """Note that one unit is finished, with its record unless it failed."""
        ...

    def failed(self, text: str) -> None:
        """Note that one unit failed."""
        ...


@dataclass(slots=True)
class Memory:
    """A keeper that forgets the crafted images of a shard when the next one starts."""

    records: dict[str, Record] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    failed_jobs: dict[str, list[str]] = field(default_factory=dict)
    _crafted: dict[str, Crafted] = field(default_factory=dict)

    def record(self, key: str) -> Record | None:
        """Return a finished record, or None."""
        return self.records.get(key)

    def keep_record(self, record: Record) -> None:
        """Keep a record."""
        self.records[record.key] = record

    def crafted(self, key: str) -> Crafted | None:
        """Return crafted images, or None."""
        return self._crafted.get(key)

    def keep_crafted(self, key: str, crafted: Crafted) -> None:
        """Keep the newest crafted images only."""
        self._crafted = {key: crafted}

    def failed(self, key: str, title: str, text: str, *, model: str = "") -> None:
        """Note that a job failed, and whose row lacks it."""
        self.failures[key] = f"{title}: {text}"
        self.failed_jobs.setdefault(model, []).append(title)


class Silent:
    """A watcher that says nothing."""

    def begin(self, text: str) -> None:
        """Say nothing."""

    def advance(self, text: str, *, cached: bool, record: Record | None = None) -> None:
        """Say nothing."""

    def failed(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Craft:
    """One crafting: who is attacked, through what, by which attack, under which threat."""

    source: Subject
    gradient_source: str
    label: str
    attack: Attack
    board: Board

    @property
    def title(self) -> str:
        """One line for a person."""
        return (
            f"{self.label} on {self.source.model.name} through {self.gradient_source} "
            f"({self.board.threat.norm.name} {self.board.eps_text})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Everything an evaluation does, laid out; nothing is run yet.

    Attributes:
        subjects: the models.
        data: the images.
        boards: threat models with their attacks.
        transfer: judge crafted images on every model.
        seed: source of all chance.
        shard: most images per unit.
        batch_size: most images per pass.
        eager: ask every network as it is, not by a prepared copy (`robench.model.prepared`).
        draws: how often the judge asks a random model about each image.

    Raises:
        ConfigError: an attack cannot play under its threat, or would need what it withholds; too few draws.
        InputError: two models share a name, or a model has another number of classes than the data, or cannot
            answer to a few of its images (`robench.model.answer_checks`).
    """

    subjects: Sequence[Subject]
    data: ImageSet
    boards: Sequence[Board]
    transfer: bool = True
    seed: int = 0
    shard: int = 500
    batch_size: int = 250
    eager: bool = False
    draws: int = DRAWS

    def __post_init__(self) -> None:
        """Refuse what cannot work before anything is run."""
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 2:
            raise ConfigError(
                where="draws",
                expected="a whole number of at least 2",
                got=repr(self.draws),
                do="The worst of several points is chosen by other draws than the one that counts: take 10",
            )
        names = [s.model.name for s in self.subjects]
        if len(set(names)) != len(names):
            raise InputError(where="models", expected="different names", got=", ".join(names))
        for subject in self.subjects:
            if subject.model.classes != len(self.data.classes):
                raise InputError(
                    where=f"model {subject.model.name!r}",
                    expected=f"{len(self.data.classes)} classes, as {self.data.name} has",
                    got=str(subject.model.classes),
                )
        for board in self.boards:
            for label, attack in board.attacks.items():
                check_attack(attack, board.threat, label=label)
                for subject in self.subjects:
                    for name in _sources(attack, subject):
                        aimed_at(subject, name, attack, board.threat)
            for subject in self.subjects:
                check_noise(subject.model, board.threat)
        check_networks([subject.model for subject in self.subjects], self.data)

    @property
    def drop(self) -> bool:
        """Whether broken images may leave the batch: only if no other model will be judged on them."""
        return not self.transfer or len(self.subjects) == 1

    def crafts(self) -> Iterator[Craft]:
        """Yield every crafting of one shard."""
        for board in self.boards:
            for label, attack in board.attacks.items():
                for subject in self.subjects:
                    for name in _sources(attack, subject):
                        yield Craft(
                            source=subject, gradient_source=name, label=label, attack=attack, board=board
                        )

    def targets(self, source: Subject) -> Sequence[Subject]:
        """Return the models that judge what was crafted on `source`."""
        return self.subjects if self.transfer else [source]

    @property
    def joint(self) -> bool:
        """Whether the images of a shard share a graph with any of the models."""
        return any(s.model.coupling is Coupling.JOINT for s in self.subjects)

    def shards(self) -> Iterator[Shard]:
        """Return the data in pieces: all but the last full, or even ones where a model is joint."""
        return Shard.split(self.data, self.shard, even=self.joint)

    def craft_key(self, job: Craft, shard: Shard) -> str:
        """Return the key of the images of a job."""
        return craft_key(
            job.source,
            job.gradient_source,
            job.attack,
            job.board.threat,
            shard,
            seed=self.seed,
            drop=self.drop,
        )

    def record_key(self, job: Craft, shard: Shard, target: Subject) -> str:
        """Return the key of the record of a job judged on a target."""
        key = self.craft_key(job, shard)
        return record_key(target, job.source, job.label, job.board.eps_text, key, shard, draws=self.draws)

    def clean_key(self, subject: Subject, shard: Shard) -> str:
        """Return the key of the record of a model on clean images."""
        return record_key(subject, None, CLEAN, "", "", shard, draws=self.draws)

    def units(self) -> int:
        """Return how many records the whole work will leave."""
        pieces = -(-len(self.data) // self.shard)
        judged = sum(len(self.targets(c.source)) for c in self.crafts())
        return pieces * (len(self.subjects) + judged)


def _sources(attack: Attack, subject: Subject) -> tuple[str, ...]:
    """Return what an attack is crafted through: its own choice, or each source the subject is given."""
    return (attack.info.own_source,) if attack.info.own_source else subject.sources


def evaluate(work: Work, keeper: Keeper, watcher: Watcher | None = None) -> Iterator[str]:
    """Do the work, skipping what the keeper already has; yield the key of every record, in order.

    A job that raises is recorded as failed and the others go on; errors of configuration or storage are not
    caught. What was yielded is safe.
    """
    told = watcher or Silent()
    prepared = PreparedModels(eager=work.eager)
    for shard in work.shards():
        clean: dict[str, Labels] = {}
        known: dict[str, set[str]] = {}  # of this shard alone, so that no unit depends on another shard
        for subject in work.subjects:
            key = work.clean_key(subject, shard)
            yield from _judged(work, keeper, told, key, subject, None, shard, None, clean, known)
        for job in work.crafts():
            key = work.craft_key(job, shard)
            keys = {work.record_key(job, shard, target): target for target in work.targets(job.source)}
            if all(_kept(work, keeper, k, target, known) is not None for k, target in keys.items()):
                crafted = None
            else:
                crafted = _crafted(work, keeper, told, key, job, shard, prepared, units=len(keys))
                if crafted is None:
                    continue
            for unit, target in keys.items():
                yield from _judged(work, keeper, told, unit, target, job, shard, crafted, clean, known, key)


def _crafted(
    work: Work,
    keeper: Keeper,
    told: Watcher,
    key: str,
    job: Craft,
    shard: Shard,
    prepared: PreparedModels,
    *,
    units: int,
) -> Crafted | None:
    found = keeper.crafted(key)
    if found is not None:
        return found
    told.begin(job.title)
    try:
        made = craft_unit(
            job.source,
            job.gradient_source,
            job.attack,
            job.board.threat,
            shard,
            seed=work.seed,
            drop=work.drop,
            batch_size=work.batch_size,
            prepared=prepared,
        )
    except Exception as error:  # noqa: BLE001 - the boundary: one job's failure is recorded, the rest go on
        _record_failure(keeper, told, key, job.title, error, job.source.model.name)
        for _ in range(units):
            told.advance(f"{job.title}: failed", cached=False)
        return None
    keeper.keep_crafted(key, made)
    return made


def _judged(
    work: Work,
    keeper: Keeper,
    told: Watcher,
    key: str,
    target: Subject,
    job: Craft | None,
    shard: Shard,
    crafted: Crafted | None,
    clean: dict[str, Labels],
    known: dict[str, set[str]],
    crafted_key: str = "",
) -> Iterator[str]:
    name = target.model.name
    title = f"{job.title} -> {target.model.name}" if job else f"clean on {target.model.name}"
    found = _kept(work, keeper, key, target, known)
    if found is not None:
        clean.setdefault(name, torch.tensor(found.columns.clean))
        _learn(known, name, job, found)
        told.advance(title, cached=True, record=found)
        yield key
        return
    told.begin(title)
    try:
        record, clean[name] = judge_unit(
            key,
            target,
            job.source if job else None,
            job.gradient_source if job else "",
            job.label if job else CLEAN,
            job.attack if job else None,
            job.board if job else None,
            shard,
            crafted,
            seed=work.seed,
            clean=clean.get(name),
            batch_size=work.batch_size,
            known=known.get(name, ()),
            draws=work.draws,
        )
    except Exception as error:  # noqa: BLE001 - the boundary: one job's failure is recorded, the rest go on
        _record_failure(keeper, told, key, title, error, name)
        told.advance(f"{title}: failed", cached=False)
        return
    if target.model.coupling is Coupling.JOINT:  # a report compares it with the images there were
        record = replace(record, provenance=replace(record.provenance, shard=work.shard))
    if crafted_key:  # a report finds the images by it
        record = replace(record, provenance=replace(record.provenance, crafted=crafted_key))
    _learn(known, name, job, record)
    keeper.keep_record(record)
    told.advance(title, cached=False, record=record)
    yield key


def _kept(
    work: Work, keeper: Keeper, key: str, target: Subject, known: Mapping[str, set[str]]
) -> Record | None:
    """Return a finished record, unless it has another number of fresh draws than it would be given now.

    Of a model that is declared random the key says it. That another is random is only found by asking it.
    """
    found = keeper.record(key)
    if found is None:
        return None
    codes = known.get(target.model.name, set()) | {finding.code for finding in found.findings}
    wanted = work.draws if asked_again(target.model, codes) and found.columns.index else 0
    return found if found.draws == wanted else None


def _learn(known: dict[str, set[str]], name: str, job: Craft | None, record: Record) -> None:
    """Remember what was found about a model itself."""
    if job is None:
        known.setdefault(name, set()).update(finding.code for finding in record.findings)


def _record_failure(
    keeper: Keeper, told: Watcher, key: str, title: str, error: Exception, model: str
) -> None:
    text = str(error) if isinstance(error, RobenchError) else "".join(traceback.format_exception(error))
    keeper.failed(key, title, text, model=model)
    told.failed(f"{title}: {text.strip().splitlines()[-1]}")
