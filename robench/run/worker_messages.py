"""What a worker is told, and how it tells what happens. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from robench import errors
from robench.engines import Engine
from robench.errors import RobenchError
from robench.plan.spec import Plan
from robench.run.progress import ColumnAccuracy, Reporter
from robench.run.settings import Environment
from robench.run.time_estimate import Part

FEATURES = "features"
"""Name of the job that keeps the features for figures: of its lease and of the account of its failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a worker is made with.

    Attributes:
        plan: what is done.
        root: the run folder.
        folder: what relative paths start from.
        environment: where it is done, and what it may do there; its `force` is about training: what one
            worker has trained anew the next one only loads.
        force: judge everything again.
        engine: how attacks ask networks; see `robench.engines`.
        failed: models that are not tried again, with the reason.
        threads: CPU threads; None leaves that to torch.
        deterministic: refuse operations whose bits vary from run to run.
        number: which of several workers it is, as with several GPUs each takes one, in turn; None for the
            only one.
    """

    plan: Plan
    root: str
    folder: str
    environment: Environment
    force: bool = False
    engine: Engine = "auto"
    failed: dict[str, str] = field(default_factory=dict)
    threads: int | None = None
    deterministic: bool = False
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNote:
    """What whoever divides the work knows of a job.

    Attributes:
        name: its key, or that of its only unit: the name of its lease and of the account of its failure.
        title: one line for a person.
        model: whose row lacks it if it fails.
        clean: whether it judges clean images; the attacks on a shard come after those.
        units: how many records it leaves.
        seconds: after which it counts as hanging, by what its attack has to do.
    """

    name: str
    title: str
    model: str
    clean: bool
    units: int
    seconds: float


class Pipe(Protocol):
    """Where events go."""

    def send(self, event: tuple[Any, ...], /) -> None:
        """Send an event."""
        ...


class Telling(Reporter):
    """A reporter that tells the process at the other end of a pipe.

    Args:
        pipe: the pipe.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def stage(self, text: str) -> None:
        """Tell what begins."""
        self._pipe.send(("stage", text))

    def model(self, name: str) -> None:
        """Tell which model is made or tried."""
        self._pipe.send(("model", name))

    def workload(self, parts: Sequence[Part]) -> None:
        """Tell what there is to do."""
        self._pipe.send(("workload", list(parts)))

    def alive(self, text: str, seconds: float, passes: int) -> None:
        """Tell that a unit has been at work for so long."""
        self._pipe.send(("alive", text, seconds, passes))

    def begin(self, text: str) -> None:
        """Tell what is worked on."""
        self._pipe.send(("begin", text))

    def advance(self, text: str, *, cached: bool = False, accuracy: ColumnAccuracy | None = None) -> None:
        """Tell of a unit that failed; of a finished one its key is told instead."""
        if accuracy is None:
            self._pipe.send(("advance", text))

    def training(self, row: dict[str, float]) -> None:
        """Tell how a training goes."""
        self._pipe.send(("training", row))

    def finding(self, text: str) -> None:
        """Tell a reason to doubt a number."""
        self._pipe.send(("finding", text))

    def failed(self, text: str) -> None:
        """Tell what failed."""
        self._pipe.send(("said", text))


def retell(event: tuple[Any, ...], reporter: Reporter, *, quiet: bool) -> None:
    """Tell a reporter here what a worker told; what went wrong there is raised here.

    Args:
        event: what it told.
        reporter: who is told.
        quiet: leave out what is known already where models are only made again.

    Raises:
        RobenchError: the worker refused, in its own words.
        RuntimeError: something broke in it.
    """
    match event:
        case ("refused", kind, expected, got, do, where):
            error: type[RobenchError] = getattr(errors, kind, RobenchError)
            raise error(expected=expected, got=got, do=do, where=where)
        case ("broke", text):
            raise RuntimeError(text.strip().splitlines()[-1]) from RuntimeError(text)
        case ("said", text):
            reporter.failed(text)
        case ("begin", text):
            reporter.begin(text)
        case ("alive", text, float(seconds), int(passes)):
            reporter.alive(text, seconds, passes)
        case ("workload", list(parts)) if not quiet:
            reporter.workload(parts)
        case ("advance", text):
            reporter.advance(text)
        case ("finding", text) if not quiet:
            reporter.finding(text)
