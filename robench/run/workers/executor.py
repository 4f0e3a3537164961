"""How work is divided among workers, and the protocols of workers and executors. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from robench.run.workers.stop import Stop
from robench.run.workers.worker_messages import Orders

Event = tuple[Any, ...]
"""A message of a worker: its first entry is the kind of the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """How work is divided among processes.

    Attributes:
        count: how many workers; on a machine with GPUs each uses one, in turn.
        threads: CPU threads of each worker; None leaves the choice to PyTorch.
        timeout: seconds a job may take; None for a limit that depends on the job's attack.
        memory: bytes a worker may use; None for as much as the machine has.
        retry_failed: try jobs again that have ended their worker twice.
        part: (i, n): do part i, counted from 1, of n parts of the attacks; None for all.
        deterministic: refuse operations whose bits vary from run to run.
        ray: run workers as actors of a Ray cluster: its address, empty for one of this machine alone; None
            runs them as processes of this machine.
        stop: tells whether the run should stop.
    """

    count: int = 1
    threads: int | None = None
    timeout: float | None = None
    memory: int | None = None
    retry_failed: bool = False
    part: tuple[int, int] | None = None
    deterministic: bool = False
    ray: str | None = None
    stop: Stop = field(default_factory=Stop)


class Worker(Protocol):
    """A worker as the supervisor sees it; `robench.run.workers.worker_process` explains its attributes."""

    busy: bool
    since: float
    heard: float
    model: str
    activity: str

    @property
    def memory(self) -> int:
        """Bytes of memory it uses; 0 if unknown."""

    def order(self, *order: Any) -> None:
        """Give an order."""
        ...

    def events(self) -> Iterator[Event]:
        """Yield its events; raise EOFError if it has ended."""
        ...

    def end(self, verdict: str = "") -> None:
        """End it at once."""
        ...

    def end_reason(self) -> str:
        """Return how it ended."""
        ...


class Executor(Protocol):
    """Where workers run."""

    def hire(self, orders: Orders) -> Any:
        """Start a worker."""
        ...

    def wait(self, workers: Sequence[Any], timeout: float) -> list[Any]:
        """Return the workers that sent events or ended, after at most `timeout` seconds."""
        ...

    def close(self) -> None:
        """Release the executor's own resources."""
        ...
