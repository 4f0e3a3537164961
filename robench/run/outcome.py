"""What a run did, and what its folder says of it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robench.machine import MadeWith
from robench.plan.spec import Plan, content_hash
from robench.record.run_facts import RunFacts
from robench.run.progress import Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run did.

    Attributes:
        finished: units computed now.
        cached: units that were there already.
        failed: units or models that failed; the rest is saved.
        seconds: wall-clock time.
        images: images judged in the units computed now.
        judging: seconds of it that attacks and verdicts took; preparation and training are not in it.
        replaced: that the tables showed other results until now; empty where they did not.
    """

    finished: int
    cached: int
    failed: int
    seconds: float
    images: int = 0
    judging: float = 0.0
    replaced: str = ""


@dataclass(slots=True, kw_only=True)
class Summary:
    """What `run.json` says, counted while the run goes on.

    Attributes:
        plan: what is done.
        command: what the user typed.
        asked: options that can change the plan or its bits.
        expected: how many records the whole plan leaves.
        facts: versions and hardware.
        failed_models: why models could not be made, by name.
        failed_jobs: titles of the jobs that failed, by the model whose row lacks them.
        failures: how many jobs failed.
        status: `interrupted`, `part`, `failed jobs` or `finished`.
        units: keys of the finished records.
        geometry: keys of the features that were kept.
        cached: how many of the units were there already.
        images: images judged in those that were not.
        replaced: see `Outcome`.
    """

    plan: Plan
    command: str
    asked: Mapping[str, object] = field(default_factory=dict)
    expected: int = 0
    facts: MadeWith = field(default_factory=MadeWith)
    failed_models: dict[str, str] = field(default_factory=dict)
    failed_jobs: dict[str, list[str]] = field(default_factory=dict)
    failures: int = 0
    status: str = "interrupted"
    units: list[str] = field(default_factory=list)
    geometry: list[str] = field(default_factory=list)
    cached: int = 0
    images: int = 0
    replaced: str = ""

    def add(self, finished: Finished) -> None:
        """Count a finished unit."""
        self.units.append(finished.record.key)
        self.cached += finished.cached
        self.images += 0 if finished.cached else len(finished.record.columns.index)

    def end(self, *, whole: bool = True) -> None:
        """Note that all, or one of several parts, was done or has failed.

        Of a part the rest may lie in the same folder, so its list of units is never that of the folder.
        """
        status = "failed jobs" if self.failed_models or self.failures else "finished"
        self.status = status if whole else "part"

    def outcome(self, *, seconds: float, judging: float) -> Outcome:
        """Return what the run did."""
        return Outcome(
            finished=len(self.units) - self.cached,
            cached=self.cached,
            failed=len(self.failed_models) + self.failures,
            seconds=seconds,
            images=self.images,
            judging=judging,
            replaced=self.replaced,
        )

    def to_json(self) -> RunFacts:
        """Return it as plain JSON."""
        return {
            "name": self.plan.name,
            "status": self.status,
            "units": self.units,
            "expected": self.expected,
            "failed_models": self.failed_models,
            "command": self.command,
            "asked": self.asked,
            **self.facts,
            "geometry": self.geometry,
            "failed_jobs": self.failed_jobs,
            "plan": content_hash(self.plan),
        }
