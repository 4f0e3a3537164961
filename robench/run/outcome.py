"""The outcome of a run, and the summary in its folder. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robench.machine import MadeWith
from robench.plan.spec import Plan, content_hash
from robench.record.run_facts import RunFacts
from robench.run.progress import Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        finished: units computed now.
        cached: units that were stored already.
        failed: units or models that failed; the rest is saved.
        seconds: wall-clock time.
        images: images judged in the units computed now.
        judging: seconds that attacks and verdicts took, without preparation and training.
        replaced: says that the tables showed other results until now; empty if they did not.
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
    """The contents of `run.json`, counted during the run.

    Attributes:
        plan: the plan.
        command: the user's command line.
        asked: options that can change the plan or its bits.
        expected: how many records the whole plan makes.
        facts: versions and hardware.
        config: SHA-256 of the configuration in the folder, empty until it is there.
        failed_models: why models could not be made, by name.
        failed_jobs: titles of the failed jobs, by the model whose row lacks their results.
        failures: how many jobs failed.
        status: `interrupted`, `part`, `failed jobs` or `finished`.
        units: keys of the finished records.
        snapshots: keys of the stored features.
        cached: how many of the units were stored already.
        images: images judged in the other units.
        replaced: see `Outcome`.
    """

    plan: Plan
    command: str
    asked: Mapping[str, object] = field(default_factory=dict)
    expected: int = 0
    facts: MadeWith = field(default_factory=MadeWith)
    config: str = ""
    failed_models: dict[str, str] = field(default_factory=dict)
    failed_jobs: dict[str, list[str]] = field(default_factory=dict)
    failures: int = 0
    status: str = "interrupted"
    units: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    cached: int = 0
    images: int = 0
    replaced: str = ""

    def add(self, finished: Finished) -> None:
        """Count a finished unit."""
        self.units.append(finished.record.key)
        self.cached += finished.cached
        self.images += 0 if finished.cached else len(finished.record.columns.index)

    def end(self, *, whole: bool = True) -> None:
        """Note that the run, or one of several parts, has finished or failed.

        The folder may contain the units of other parts too, so a part never sets the folder's list of units.
        """
        status = "failed jobs" if self.failed_models or self.failures else "finished"
        self.status = status if whole else "part"

    def outcome(self, *, seconds: float, judging: float) -> Outcome:
        """Return the outcome of the run."""
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
            "geometry": self.snapshots,
            "failed_jobs": self.failed_jobs,
            "plan": content_hash(self.plan),
            "config": self.config,
        }
