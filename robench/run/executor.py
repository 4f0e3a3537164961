"""How work is divided among workers, and what these and the place where they run offer. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from robench.run.stop import Stop
from robench.run.worker_messages import Orders

Event = tuple[Any, ...]
"""What a worker tells: its first entry says what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """How work is divided among processes.

    Attributes:
        count: how many workers; on a machine with GPUs each takes one, in turn.
        threads: CPU threads of each; None leaves that to torch.
        timeout: seconds a job may take; None for a limit by what its attack has to do.
        memory: bytes a worker may take; None for as much as the machine has.
        retry_failed: try jobs again that have ended their worker twice.
        part: which of how many parts of the attacks is done, counted from 1; None for all.
        deterministic: refuse operations whose bits vary from run to run.
        ray: run workers as actors of a Ray cluster: its address, empty for one of this machine alone; None
            runs them as processes of this machine.
        stop: how the run is asked to stop.
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
    """A worker as the supervisor sees it; `robench.run.worker_process` says what its parts mean."""

    busy: bool
    since: float
    heard: float
    model: str
    activity: str

    @property
    def memory(self) -> int:
        """Bytes it takes; 0 where that cannot be known."""

    def order(self, *order: Any) -> None:
        """Give an order."""
        ...

    def events(self) -> Iterator[Event]:
        """Yield what it told; EOFError where it has ended."""
        ...

    def end(self, verdict: str = "") -> None:
        """End it at once."""
        ...

    def last_words(self) -> str:
        """Return how it ended."""
        ...


class Executor(Protocol):
    """Where workers run."""

    def hire(self, orders: Orders) -> Any:
        """Start a worker."""
        ...

    def wait(self, workers: Sequence[Any], timeout: float) -> list[Any]:
        """Return the workers that told something or ended, after so many seconds at most."""
        ...

    def close(self) -> None:
        """Give back what the executor holds itself."""
        ...
