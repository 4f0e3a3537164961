"""Reporters of a run's progress: present work, its duration, and accuracies so far. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from robench.record.schema import Record, Status
from robench.record.threat_summary import ThreatSummary, threat_summary_of
from robench.run.time_estimate import Part

Column = tuple[ThreatSummary, str, str, str]
"""Threat, source, target and the attack's label."""


@dataclass(frozen=True, slots=True)
class Finished:
    """One finished unit.

    Attributes:
        record: what was measured.
        cached: whether it was stored already.
    """

    record: Record
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnAccuracy:
    """Accuracy of a column after one more unit; a column is one attack from one source on one target.

    Attributes:
        attacked: false for the clean evaluation.
        right: images that are robust against every gradient source so far; for bounds, certified images.
        n: images judged so far.
        images: images of this unit.
        certified: whether it is a column of bounds.
        column: the column; None if unknown.
        source_right: images that are robust against the unit's own gradient source; None where it is the
            only one so far.
        source_n: images judged so far through it.
        sources: gradient sources so far.
    """

    attacked: bool
    right: int
    n: int
    images: int
    certified: bool = False
    column: Column | None = None
    source_right: int | None = None
    source_n: int = 0
    sources: int = 1

    def text(self) -> str:
        """Return the accuracy in a few words: `robust 63.0 % (n 200)`, of the unit's gradient source.

        After several sources the worst over all of them, image by image, stands behind it.
        """
        what = "certified" if self.certified else "robust" if self.attacked else "clean"
        worst = f"{100 * self.right / self.n:.1f} %" if self.n else "-"
        if self.source_right is None:
            return f"{what} {worst} (n {self.n})"
        own = f"{100 * self.source_right / self.source_n:.1f} %" if self.source_n else "-"
        return f"{what} {own} (n {self.source_n}), {worst} over {self.sources} sources"


@dataclass(slots=True)
class AccuracySoFar:
    """Adds up verdicts as units come; stores one bit per image of a column and gradient source."""

    _columns: dict[Column, dict[str, dict[str, tuple[int, int]]]] = field(default_factory=dict)

    def add(self, record: Record) -> ColumnAccuracy:
        """Add a unit and return its column's accuracy: for each image the worst over gradient sources."""
        names = (record.source.name, record.target.name)
        place = (threat_summary_of(record.threat), *names, record.attack.label)
        sources = self._columns.setdefault(place, {})
        own = sources.setdefault(record.source.gradient_source, {})
        statuses = record.columns.status
        stands = [status == Status.ROBUST for status in statuses]
        if record.certificates:
            stands = [bool(one) for one in record.certificates.certified]
        robust = sum(1 << i for i, one in enumerate(stands) if one)
        digest = record.dataset.digest
        _, before = own.get(digest, (0, robust))
        own[digest] = (len(statuses), robust & before)
        column: dict[str, tuple[int, int]] = {}
        for verdicts in sources.values():
            for key, (count, bits) in verdicts.items():
                column[key] = (count, bits & column.get(key, (count, bits))[1])
        has_others = len(sources) > 1
        return ColumnAccuracy(
            attacked=bool(names[0]),
            right=_robust(column),
            n=_judged(column),
            images=len(statuses),
            certified=record.certificates is not None,
            column=place,
            source_right=_robust(own) if has_others else None,
            source_n=_judged(own),
            sources=len(sources),
        )


def _robust(verdicts: dict[str, tuple[int, int]]) -> int:
    return sum(bits.bit_count() for _, bits in verdicts.values())


def _judged(verdicts: dict[str, tuple[int, int]]) -> int:
    return sum(count for count, _ in verdicts.values())


class Reporter(Protocol):
    """Gets the events of a run as they happen; must never fail or slow the work down.

    A derived class ignores the events whose methods it does not define.
    """

    def start(self, total: int) -> None:
        """Note how many units there are."""
        return

    def stage(self, text: str) -> None:
        """Note the start of something, such as the training of a model."""
        return

    def model(self, name: str) -> None:
        """Note which model is now made or tried."""
        return

    def workload(self, parts: Sequence[Part]) -> None:
        """Note the workload, in parts whose jobs take equally long; called before `start`."""
        return

    def alive(self, text: str, seconds: float, passes: int) -> None:
        """Note how long a unit has been running, and its number of passes, each on one image."""
        return

    def begin(self, text: str) -> None:
        """Note which unit begins."""
        return

    def advance(self, text: str, *, cached: bool = False, accuracy: ColumnAccuracy | None = None) -> None:
        """Note one more unit: whether it was stored before, and its column, unless the unit failed."""
        return

    def training(self, row: dict[str, float]) -> None:
        """Note the progress of a training: a row with `step` and `steps`, or an epoch's history row."""
        return

    def finding(self, text: str) -> None:
        """Note a reason to doubt a number."""
        return

    def failed(self, text: str) -> None:
        """Note a unit or a model that failed; the others go on."""
        return

    def close(self) -> None:
        """Note that no more events come. It may be called twice."""
        return


class Quiet(Reporter):
    """A reporter that ignores everything; a base for reporters of a few events."""


QUIET = Quiet()
"""The default reporter, which shows nothing."""

EVERY = 2.0
"""Seconds between two signs of life; a reporter may show fewer."""


@dataclass(slots=True)
class Heartbeat:
    """Counts the passes of the running unit, and reports them now and then.

    Args:
        reporter: gets the signs of life.
        clock: returns seconds since any fixed time.
    """

    reporter: Reporter
    clock: Callable[[], float] = time.monotonic
    _title: str = ""
    _began: float = 0.0
    _spoke: float = 0.0
    _passes: int = field(default=0)

    def begin(self, title: str) -> None:
        """Report which unit begins."""
        self._title, self._passes = title, 0
        self._began = self._spoke = self.clock()
        self.reporter.begin(title)

    def on_passes(self, count: int) -> None:
        """Note that so many more passes were made, each on one image."""
        self._passes += count
        now = self.clock()
        if now - self._spoke >= EVERY:
            self._spoke = now
            self.reporter.alive(self._title, now - self._began, self._passes)
