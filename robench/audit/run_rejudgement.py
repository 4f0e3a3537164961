"""Judge the stored images of a run again: as the run did, and with another batch size, order and rounding.

Judged as in the run, every field of a record has to be equal again: the judged model, the attack, the threat,
the images, and each image's prediction, verdict and distance. On the same kind of processor with the same
library no verdict may change; on others sums are rounded differently, and a few verdicts may change.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import torch

from robench.attack.craft import Crafted
from robench.attack.questions import reached
from robench.attack.threat import targets_under
from robench.errors import StorageError
from robench.judge.verdict import Verdict, classify, judge
from robench.model.batch_identity import batch_of
from robench.plurals import counted
from robench.randomness import seed_from
from robench.record.schema import LATER_COLUMNS, Record, Status
from robench.record.store import Store
from robench.record.strict_json import Part
from robench.run.craft_and_judge import judge_unit
from robench.run.jobs import Job, Unit
from robench.run.keeper import FolderKeeper
from robench.run.work import Work
from robench.types import Labels

TOLERANCE = 0.005
"""Share of verdicts that may change with other batches: sums in another order are rounded differently."""

EIGHT_BITS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        looked: how many units, files or verdicts were checked.
        wrong: how many of them are wrong.
        allowed: how many may be wrong.
        missing: how many units, files or verdicts of the plan are absent.
        is_fact: whether it is only reported, so that a check without data is not a failure.
        evidence: the first wrong one, or useful facts.
    """

    name: str
    looked: int
    wrong: int
    allowed: int = 0
    missing: int = 0
    is_fact: bool = False
    evidence: str = ""

    @property
    def holds(self) -> bool:
        """Whether at most `allowed` are wrong, nothing is missing, and at least one was checked."""
        return self.wrong <= self.allowed and not self.missing and (self.looked > 0 or self.is_fact)


def has_begun(job: Job, keys: Container[str]) -> bool:
    """Tell whether any unit of a job is finished; the check `units` reports the others."""
    return any(unit.key in keys for unit in job.units)


FACTS = ("target", "source", "attack", "threat", "dataset", "seed")
GIVEN = ("index", "label", "forwards", "backwards", "first_success", *LATER_COLUMNS)
JUDGED = ("clean", "adversarial", "status")
MEASURED = ("linf", "l2")
"""Parts of a record: those that are equal everywhere, and those that depend on a processor's rounding."""


@dataclass(slots=True)
class Tally:
    """Counts of the comparison of a run's records with new ones."""

    records: int = 0
    otherwise: int = 0
    first: str = ""
    verdicts: int = 0
    turned: int = 0
    elsewhere: int = 0
    first_turned: str = ""

    def compare(self, title: str, kept: Record, again: Record) -> None:
        """Compare one record with the same record made again, and count the differences."""
        self.records += 1
        facts, own = ({name: _plain(getattr(record, name)) for name in FACTS} for record in (kept, again))
        _forgive_older(facts["target"], own["target"])
        wrong = [name for name in FACTS if facts[name] != own[name]]
        wrong += [name for name in GIVEN if getattr(kept.columns, name) != getattr(again.columns, name)]
        wrong += [
            name for name in MEASURED if not _near(getattr(kept.columns, name), getattr(again.columns, name))
        ]
        codes = [sorted(finding.code for finding in record.findings) for record in (kept, again)]
        wrong += ["findings"] if codes[0] != codes[1] else []
        digest = kept.provenance.images_sha256
        wrong += ["images"] if digest not in {"", again.provenance.images_sha256} else []
        if wrong:
            self.otherwise += 1
            self.first = self.first or f"{', '.join(wrong)} of {title} ({kept.key})"
        changes = differing(*(_verdicts(record) for record in (kept, again)))
        self.verdicts += len(kept.columns.status)
        self.turned += changes
        self.elsewhere += 0 if _same_place(kept, again) else len(kept.columns.status)
        if changes and not self.first_turned:
            self.first_turned = f"{changes} of {len(kept.columns.status)} in {title} ({kept.key})"

    def checks(self) -> list[Check]:
        """Return the results of the checks."""
        return [
            Check(name="claims", looked=self.records, wrong=self.otherwise, evidence=self.first),
            Check(
                name="verdicts",
                looked=self.verdicts,
                wrong=self.turned,
                allowed=int(TOLERANCE * self.elsewhere),
                evidence=self.first_turned,
            ),
        ]


def _forgive_older(older: dict[str, Any], newer: dict[str, Any]) -> None:
    """Remove the defenses of a user's file from a target, for records older than this field."""
    stack = newer["details"].get("inference", [])
    if "inference" not in older["details"] and all(".py:" in entry["defense"] for entry in stack):
        newer["details"].pop("inference", None)


def differing(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return in how many places two columns differ; a record may have been given more or fewer images."""
    return sum(a != b for a, b in zip_longest(one, other))


def _verdicts(record: Record) -> list[tuple[Any, ...]]:
    """Return what was judged of each image."""
    # Outcomes under fresh noise; empty where the model was not asked again.
    draws = record.columns.stood or [""] * len(record.columns.index)
    return list(zip(*(getattr(record.columns, name) for name in JUDGED), draws, strict=True))


def check_claims(work: Work, store: Store) -> list[Check]:
    """Make every record again from the stored images, as the run did, and compare all its fields."""
    keeper, tally = FolderKeeper(store), Tally()
    keys = set(store.planned())
    for shard in work.shards():
        codes: dict[str, set[str]] = {}
        for job in work.jobs(shard):
            if job.units[0].bounding or not has_begun(job, keys):
                continue  # `bounds` does some of the former again
            result = keeper.crafted(job.key) if job.crafting else None
            if job.crafting and result is None:
                continue  # the check `images` reports it
            for unit, record in _readable(store, job):
                name = unit.target.model.name
                if job.crafting is None:  # a run leaves out what only follows from these
                    codes[name] = {finding.code for finding in record.findings}
                settings = replace(
                    work.settings, batch_size=_batch_size_of(record) or work.settings.batch_size
                )
                again = judge_unit(unit, result, settings, known=codes.get(name, ()) if result else ())
                tally.compare(unit.title, record, again)
    return tally.checks()


def _readable(store: Store, job: Job) -> Iterator[tuple[Unit, Record]]:
    """Yield the units of a job with their records; the check `records` reports the unreadable ones."""
    for unit in job.units:
        with suppress(StorageError):
            yield unit, store.read(unit.key)


def _batch_size_of(record: Record) -> int:
    """Return the batch size with which a record was judged, 0 if the record does not contain it."""
    return max(record.provenance.micro_batch or record.provenance.batch_size, 0)


def _plain(value: Any) -> Any:
    """Return a part of a record as it is after writing to and reading from JSON."""
    import json

    return json.loads(json.dumps(value.plain() if isinstance(value, Part) else value))


def _near(before: list[float], again: list[float]) -> bool:
    return len(before) == len(again) and all(
        abs(a - b) <= 1e-6 * max(1.0, abs(b)) for a, b in zip(before, again, strict=True)
    )


def _same_place(before: Record, again: Record) -> bool:
    """Tell whether a record was made on a processor that gives the same sums, bit for bit."""
    places = [
        (
            r.provenance.versions.get("torch"),
            *(r.provenance.device, r.provenance.machine, r.provenance.threads),
        )
        for r in (before, again)
    ]
    return places[0] == places[1] and again.provenance.device == "cpu"


def check_other_batches(work: Work, store: Store, *, batch_size: int) -> list[Check]:
    """Judge every stored image again: another batch size, another order, and rounded to 8 bits.

    A joint model keeps the images of its batch together; their order changes. The 8-bit count says how many
    broken images are robust again after pixels are rounded to 1/255, as in a picture file: it is only a fact.
    """
    keeper, keys = FolderKeeper(store), set(store.planned())
    verdicts = changes = breaks = revivals = images = absent = 0
    first = ""
    crafting_jobs = (job for shard in work.shards() for job in work.jobs(shard) if job.crafting)
    jobs = [job for job in crafting_jobs if has_begun(job, keys)]
    for job in jobs:
        result = keeper.crafted(job.key)
        if result is None:
            absent += 1
            continue
        images += len(result.x_adv)
        for unit, record in _readable(store, job):
            again, rounded_hits = _again(unit, result, batch_size)
            statuses = [str(s) for s in record.columns.status]
            differences = differing(again, statuses)
            verdicts += len(statuses)
            changes += differences
            if differences and not first:
                first = f"{differences} of {len(statuses)} in {unit.title}"
            pairs = list(zip(again, rounded_hits, strict=True))
            breaks += sum(a == Status.BROKEN for a, _ in pairs)
            revivals += sum(a == Status.BROKEN and not hit for a, hit in pairs)
    share = f"{revivals} of {breaks} broken images stand again after rounding to 8 bits"
    missing = f"{counted(absent, 'file')} missing or damaged" if absent else ""
    checks = [
        Check(name="images", looked=images, wrong=absent, evidence=missing),
        Check(
            name="batches",
            looked=verdicts,
            wrong=changes,
            allowed=int(TOLERANCE * verdicts),
            evidence=first,
        ),
        Check(
            name="8 bits",
            looked=breaks,
            wrong=0,
            is_fact=True,
            evidence=share if breaks else "nothing was broken",
        ),
    ]
    return checks if jobs else []  # no attack has ended yet


def _again(unit: Unit, result: Crafted, batch_size: int) -> tuple[list[str], list[bool]]:
    """Return each image's new verdict, and whether its 8-bit version still reaches the attacker's goal."""
    assert unit.crafting is not None
    data, threat, model = unit.shard.data, unit.crafting.threat, unit.target.model
    x, y = data.batch(slice(None))
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed_from("verify", len(y))))
    back = order.argsort()
    x, y, x_adv = (t[order].to(model.device) for t in (x, y, result.x_adv))
    target_classes = targets_under(threat.goal, y, model.classes)
    coarse = (x_adv.clamp(0, 1) * EIGHT_BITS).round() / EIGHT_BITS

    def judge_both(size: int) -> tuple[Verdict, Labels]:
        verdict = judge(model, x, y, x_adv, threat=threat, target=target_classes, batch_size=size)
        return verdict, classify(model, coarse, batch_size=size)

    with batch_of(data.indices):  # a model that draws a template per batch draws the same one as in the run
        verdict, answers = model.fitting_batches(len(y)).do(judge_both, most=batch_size)
    hit = reached(model, answers, y, target_classes)
    statuses = [str(verdict.status[i]) for i in back.tolist()]
    return statuses, hit.cpu()[back].tolist()
