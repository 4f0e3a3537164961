"""Who is told how a run goes: what is at work, how long, and how accurate a model is. No torch here."""

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
        cached: whether it was there already.
    """

    record: Record
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnAccuracy:
    """What is known after one more unit of a column: one attack from one source on one target.

    Attributes:
        attacked: false for the clean evaluation.
        right: images that stand against every gradient source so far; of bounds, those that are certified.
        n: images judged so far.
        images: images of this unit.
        certified: whether it is a column of bounds.
        column: which one; None where nobody says.
    """

    attacked: bool
    right: int
    n: int
    images: int
    certified: bool = False
    column: Column | None = None

    def text(self) -> str:
        """Return it in a few words, such as `robust 63.0 % (n 200)`."""
        share = f"{100 * self.right / self.n:.1f} %" if self.n else "-"
        what = "certified" if self.certified else "robust" if self.attacked else "clean"
        return f"{what} {share} (n {self.n})"


@dataclass(slots=True)
class AccuracySoFar:
    """Adds up the verdicts of units as they come; one bit is kept for each image of a column."""

    _columns: dict[Column, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def add(self, record: Record) -> ColumnAccuracy:
        """Add a unit and return its column's accuracy: image by image the worst over gradient sources."""
        names = (record.source.name, record.target.name)
        place = (threat_summary_of(record.threat), *names, record.attack.label)
        column = self._columns.setdefault(place, {})
        statuses = record.columns.status
        stands = [status == Status.ROBUST for status in statuses]
        if record.certificates:
            stands = [bool(one) for one in record.certificates.certified]
        robust = sum(1 << i for i, one in enumerate(stands) if one)
        digest = record.dataset.digest
        _, before = column.get(digest, (0, robust))
        column[digest] = (len(statuses), robust & before)
        return ColumnAccuracy(
            attacked=bool(names[0]),
            right=sum(bits.bit_count() for _, bits in column.values()),
            n=sum(count for count, _ in column.values()),
            images=len(statuses),
            certified=record.certificates is not None,
            column=place,
        )


class Reporter(Protocol):
    """Told what happens while it happens; it must never fail and never slow the work down.

    A class that derives from it says nothing of what it leaves out.
    """

    def start(self, total: int) -> None:
        """Note how many units there are."""
        return

    def stage(self, text: str) -> None:
        """Note what begins, such as the training of a model."""
        return

    def model(self, name: str) -> None:
        """Note which model is made or tried from now."""
        return

    def workload(self, parts: Sequence[Part]) -> None:
        """Note what there is to do, in parts that take alike long; told before `start`."""
        return

    def alive(self, text: str, seconds: float, passes: int) -> None:
        """Note that a unit has been at work for so long, with so many passes, each on one image."""
        return

    def begin(self, text: str) -> None:
        """Note which unit is worked on from now."""
        return

    def advance(self, text: str, *, cached: bool = False, accuracy: ColumnAccuracy | None = None) -> None:
        """Note one more unit: whether it was finished before, and its column, unless the unit failed."""
        return

    def training(self, row: dict[str, float]) -> None:
        """Note how a training goes: a row with `step` and `steps`, or an epoch's row of the history."""
        return

    def finding(self, text: str) -> None:
        """Note a reason to doubt a number."""
        return

    def failed(self, text: str) -> None:
        """Note a unit or a model that failed; the others go on."""
        return

    def close(self) -> None:
        """Note that nothing more comes. It may be called twice."""
        return


class Quiet(Reporter):
    """A reporter that says nothing; one that tells of a few things only is made of it."""


QUIET = Quiet()
"""What is told where nobody wants to know."""

EVERY = 2.0
"""Seconds between two signs; whoever shows them may show fewer."""


@dataclass(slots=True)
class Heartbeat:
    """Counts the passes of the unit in work, and tells of them now and then.

    Args:
        reporter: who is told.
        clock: seconds, from any start.
    """

    reporter: Reporter
    clock: Callable[[], float] = time.monotonic
    _title: str = ""
    _began: float = 0.0
    _spoke: float = 0.0
    _passes: int = field(default=0)

    def begin(self, title: str) -> None:
        """Tell which unit is worked on from now."""
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
