"""Messages to and from workers: orders, notes on jobs, and events. No torch here."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The first message to a worker: plan and settings.

    Attributes:
        plan: the plan.
        root: the run folder.
        folder: the folder that relative paths start from.
        environment: device and permissions of the run; its `force` concerns training only: after one worker
            has repeated a training, the next ones load its weights.
        force: judge everything again.
        engine: how attacks call networks; see `robench.engines`.
        failed: models that are not tried again, with the reason.
        threads: CPU threads; None leaves the choice to PyTorch.
        deterministic: refuse operations whose bits vary from run to run.
        number: number of this worker, which with several GPUs decides its GPU; None if it is the only
            worker.
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
    """What the supervisor knows of a job.

    Attributes:
        name: its key, or the key of its only unit: the name of its lease and of its error file.
        title: one readable line.
        model: the model whose row lacks its results if it fails.
        clean: whether it judges clean images; attacks on a shard come after these jobs.
        units: number of its records.
        seconds: time after which it counts as hanging, depending on its attack.
    """

    name: str
    title: str
    model: str
    clean: bool
    units: int
    seconds: float


class Pipe(Protocol):
    """Takes events."""

    def send(self, event: tuple[Any, ...], /) -> None:
        """Send an event."""
        ...


class Telling(Reporter):
    """A reporter that sends events to the process at the other end of a pipe.

    Args:
        pipe: the pipe.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def stage(self, text: str) -> None:
        """Send what begins."""
        self._pipe.send(("stage", text))

    def model(self, name: str) -> None:
        """Send which model is made or tried."""
        self._pipe.send(("model", name))

    def workload(self, parts: Sequence[Part]) -> None:
        """Send the workload."""
        self._pipe.send(("workload", list(parts)))

    def alive(self, text: str, seconds: float, passes: int) -> None:
        """Send how long a unit has been running."""
        self._pipe.send(("alive", text, seconds, passes))

    def begin(self, text: str) -> None:
        """Send which unit begins."""
        self._pipe.send(("begin", text))

    def advance(self, text: str, *, cached: bool = False, accuracy: ColumnAccuracy | None = None) -> None:
        """Send that a unit failed; for a finished unit its key is sent elsewhere."""
        if accuracy is None:
            self._pipe.send(("advance", text))

    def training(self, row: dict[str, float]) -> None:
        """Send the progress of a training."""
        self._pipe.send(("training", row))

    def finding(self, text: str) -> None:
        """Send a reason to doubt a number."""
        self._pipe.send(("finding", text))

    def failed(self, text: str) -> None:
        """Send what failed."""
        self._pipe.send(("said", text))


def retell(event: tuple[Any, ...], reporter: Reporter, *, quiet: bool) -> None:
    """Pass a worker's event to a reporter here; an error of the worker is raised here.

    Args:
        event: the event.
        reporter: the reporter.
        quiet: leave out events that were reported before, if models are only made again.

    Raises:
        RobenchError: the worker refused the plan; the same message.
        RuntimeError: the worker had an unexpected error.
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
