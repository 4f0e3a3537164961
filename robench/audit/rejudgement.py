"""Judge the stored images of a run again: as the run did, and with another batch size, order and rounding.

Done as the run did it, every field of a record has to come out again: who was judged, what attacked, under
which threat, on which images, and each image's prediction, verdict and distance. On the same kind of
processor with the same library, not one verdict may turn; elsewhere sums round differently, and a few may.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch

from robench.attack.craft import targets_of
from robench.attack.threat import Goal
from robench.errors import StorageError
from robench.judge.verdict import classify, judge, reached
from robench.model.batch_identity import batch_of
from robench.randomness import seed_from
from robench.record.reader import Part
from robench.record.schema import LATER_COLUMNS, Record, Status
from robench.record.store import Store
from robench.run.evaluate import Craft, Work
from robench.run.evaluated_model import Subject
from robench.run.keeper import FolderKeeper
from robench.run.units import CLEAN, Shard, judge_unit

if TYPE_CHECKING:
    from robench.attack.craft import Crafted

TOLERANCE = 0.005
"""Share of verdicts that may turn when a batch is cut otherwise: sums in another order round differently."""

EIGHT_BITS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        looked: how many units, files or verdicts.
        wrong: how many of them did not hold.
        allowed: how many may.
        evidence: the first that did not hold, or facts worth knowing.
    """

    name: str
    looked: int
    wrong: int
    allowed: int = 0
    evidence: str = ""

    @property
    def holds(self) -> bool:
        """Whether no more is wrong than may be, and anything was looked at."""
        return self.wrong <= self.allowed and self.looked > 0


FACTS = ("target", "source", "attack", "threat", "dataset", "seed")
GIVEN = ("index", "label", "forwards", "backwards", "first_success", *LATER_COLUMNS)
JUDGED = ("clean", "adversarial", "status")
MEASURED = ("linf", "l2")
"""Parts of a record: what must be as it is anywhere, and what may round differently on another processor."""


@dataclass(slots=True)
class Tally:
    """What the records of a run were compared with, counted."""

    records: int = 0
    otherwise: int = 0
    first: str = ""
    verdicts: int = 0
    turned: int = 0
    elsewhere: int = 0
    first_turned: str = ""

    def compare(self, title: str, kept: Record, made: Record) -> None:
        """Count one record beside the same made now."""
        self.records += 1
        wrong = [name for name in FACTS if _plain(getattr(kept, name)) != _plain(getattr(made, name))]
        wrong += [name for name in GIVEN if getattr(kept.columns, name) != getattr(made.columns, name)]
        wrong += [
            name for name in MEASURED if not _near(getattr(kept.columns, name), getattr(made.columns, name))
        ]
        codes = [sorted(finding.code for finding in record.findings) for record in (kept, made)]
        wrong += ["findings"] if codes[0] != codes[1] else []
        digest = kept.provenance.images_sha256
        wrong += ["images"] if digest not in {"", made.provenance.images_sha256} else []
        if wrong:
            self.otherwise += 1
            self.first = self.first or f"{', '.join(wrong)} of {title} ({kept.key})"
        turned = differing(*(_verdicts(record) for record in (kept, made)))
        self.verdicts += len(kept.columns.status)
        self.turned += turned
        self.elsewhere += 0 if _same_place(kept, made) else len(kept.columns.status)
        if turned and not self.first_turned:
            self.first_turned = f"{turned} of {len(kept.columns.status)} in {title} ({kept.key})"

    def checks(self) -> list[Check]:
        """Return what was found."""
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


def differing(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return in how many places two columns differ; a record may have been given more or fewer images."""
    return sum(a != b for a, b in zip_longest(one, other))


def _verdicts(record: Record) -> list[tuple[Any, ...]]:
    """Return what was judged of each image."""
    stood = record.columns.stood or [""] * len(
        record.columns.index
    )  # under fresh noise, where it was asked so
    return list(zip(*(getattr(record.columns, name) for name in JUDGED), stood, strict=True))


def check_claims(work: Work, store: Store) -> list[Check]:
    """Make every record again from the stored images, as the run did, and compare all it says."""
    keeper, tally = FolderKeeper(store), Tally()
    for shard in work.shards():
        for title, kept, job, target, crafted in _kept(work, store, keeper, shard):
            known = _known(work, store, target, shard) if job else set[str]()
            made, _ = judge_unit(
                kept.key,
                target,
                job.source if job else None,
                job.gradient_source if job else "",
                job.label if job else CLEAN,
                job.attack if job else None,
                job.board if job else None,
                shard,
                crafted,
                seed=work.seed,
                clean=None,
                batch_size=_passes_of(kept) or work.batch_size,
                known=known,
                draws=work.draws,
            )
            tally.compare(title, kept, made)
    return tally.checks()


def _kept(
    work: Work, store: Store, keeper: FolderKeeper, shard: Shard
) -> Iterator[tuple[str, Record, Craft | None, Subject, Crafted | None]]:
    """Yield the readable records of a shard and what they were judged from; `records` tells of others."""
    wanted: list[tuple[str, str, Craft | None, Subject, Crafted | None]] = [
        (f"clean on {s.model.name}", work.clean_key(s, shard), None, s, None) for s in work.subjects
    ]
    yield from _read(store, wanted)
    for job in work.crafts():
        crafted = keeper.crafted(work.craft_key(job, shard))
        if crafted is not None:
            yield from _read(
                store,
                [
                    (f"{job.title} -> {t.model.name}", work.record_key(job, shard, t), job, t, crafted)
                    for t in work.targets(job.source)
                ],
            )


def _read(
    store: Store, wanted: list[tuple[str, str, Craft | None, Subject, Crafted | None]]
) -> Iterator[tuple[str, Record, Craft | None, Subject, Crafted | None]]:
    for title, key, job, target, crafted in wanted:
        try:
            yield title, store.read(key), job, target, crafted
        except StorageError:
            continue


def _known(work: Work, store: Store, target: Subject, shard: Shard) -> set[str]:
    """Return the codes found about a model itself, from which a run leaves out what only follows."""
    try:
        return {finding.code for finding in store.read(work.clean_key(target, shard)).findings}
    except StorageError:
        return set()


def _passes_of(record: Record) -> int:
    """Return the batch size a record says it was judged by, 0 where it says none."""
    return max(record.provenance.batch_size, 0)


def _plain(value: Any) -> Any:
    """Return a part of a record as it looks after its way through JSON."""
    import json

    return json.loads(json.dumps(value.plain() if isinstance(value, Part) else value))


def _near(kept: list[float], made: list[float]) -> bool:
    return len(kept) == len(made) and all(
        abs(a - b) <= 1e-6 * max(1.0, abs(b)) for a, b in zip(kept, made, strict=True)
    )


def _same_place(kept: Record, made: Record) -> bool:
    """Tell whether a record was made on a processor where the same sums come out bit for bit."""
    places = [
        (
            r.provenance.versions.get("torch"),
            *(r.provenance.device, r.provenance.machine, r.provenance.threads),
        )
        for r in (kept, made)
    ]
    return places[0] == places[1] and made.provenance.device == "cpu"


def check_other_batches(work: Work, store: Store, *, batch_size: int) -> list[Check]:
    """Judge every stored image again: another batch size, another order, and rounded to 8 bits.

    A joint model keeps the images of its batch together; their order changes. The 8-bit count says how many
    broken images stand again once pixels are rounded to 1/255, as in a picture file: a fact, not a failure.
    """
    keeper = FolderKeeper(store)
    verdicts = turned = broken = revived = images = absent = 0
    first = ""
    for shard in work.shards():
        for job in work.crafts():
            crafted = keeper.crafted(work.craft_key(job, shard))
            if crafted is None:
                absent += 1
                continue
            images += len(crafted.x_adv)
            for target in work.targets(job.source):
                try:
                    record = store.read(work.record_key(job, shard, target))
                except StorageError:
                    continue  # `records` and `hashes` tell of it
                again, rounded = _again(target, job, shard, crafted, batch_size)
                kept = [str(s) for s in record.columns.status]
                changed = differing(again, kept)
                verdicts += len(kept)
                turned += changed
                if changed and not first:
                    first = f"{changed} of {len(kept)} in {job.title} -> {target.model.name}"
                pairs = list(zip(again, rounded, strict=True))
                broken += sum(a == Status.BROKEN for a, _ in pairs)
                revived += sum(a == Status.BROKEN and not hit for a, hit in pairs)
    share = f"{revived} of {broken} broken images stand again after rounding to 8 bits"
    missing = f"{absent} files missing or damaged" if absent else ""
    return [
        Check(name="images", looked=images, wrong=absent, evidence=missing),
        Check(
            name="batches",
            looked=verdicts,
            wrong=turned,
            allowed=int(TOLERANCE * verdicts),
            evidence=first,
        ),
        Check(name="8 bits", looked=broken, wrong=0, evidence=share if broken else "nothing was broken"),
    ]


def _again(
    target: Subject, job: Craft, shard: Shard, crafted: Crafted, batch_size: int
) -> tuple[list[str], list[bool]]:
    """Return each image's new verdict, and whether its 8-bit version still reaches the attacker's goal."""
    x, y = shard.data.batch(slice(None))
    model, threat = target.model, job.board.threat
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed_from("verify", len(y))))
    back = order.argsort()
    x, y, x_adv = (t[order].to(model.device) for t in (x, y, crafted.x_adv))
    goal = targets_of(y, model.classes) if threat.goal is Goal.TARGETED else None
    coarse = (x_adv.clamp(0, 1) * EIGHT_BITS).round() / EIGHT_BITS
    with batch_of(shard.data.indices):  # a model that draws a template per batch draws the run's own
        found = judge(model, x, y, x_adv, threat=threat, target=goal, batch_size=batch_size)
        predicted = classify(model, coarse, batch_size=batch_size)
    hit = reached(model, predicted, y, goal)
    statuses = [str(found.status[i]) for i in back.tolist()]
    return statuses, hit.cpu()[back].tolist()
