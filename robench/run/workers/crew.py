"""The workers of a run: started, read, and ended if they hang or use too much memory. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from robench.run.progress import Reporter
from robench.run.workers.executor import Event, Executor, Processes, Worker
from robench.run.workers.job_queue import Task
from robench.run.workers.process_memory import shortage
from robench.run.workers.worker_messages import Orders

SILENCE = 3600.0
"""Seconds without an event after which making models counts as hanging."""

QUIET_SECONDS = 20.0
"""Seconds without an event of a job after which this process reports that the job is running."""

TICK = 0.2
"""Seconds between two checks of time, memory and signals."""


@dataclass(slots=True, kw_only=True)
class Crew:
    """The workers by number, and the job of each.

    Args:
        orders: gives the orders that the worker of a number is started with.
        processes: limits of number, time and memory.
        executor: where workers run.
        reporter: gets a sign that a silent worker is running.

    Attributes:
        workers: workers that were started and have not ended.
        tasks: their jobs; a worker without a job is idle or makes its models.
    """

    orders: Callable[[int], Orders]
    processes: Processes
    executor: Executor
    reporter: Reporter
    workers: dict[int, Worker] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    _spoke: float = 0.0

    def hire(self, number: int) -> Worker:
        """Start the worker of a number."""
        worker: Worker = self.executor.hire(self.orders(number))
        self.workers[number] = worker
        return worker

    @property
    def idle(self) -> int | None:
        """The number of an idle worker; None if there is none."""
        return next((number for number, worker in self.workers.items() if not worker.busy), None)

    @property
    def without_job(self) -> int:
        """How many workers have no job: they are idle, or make their models."""
        return len(self.workers) - len(self.tasks)

    def wait(self, only: int | None = None) -> list[int]:
        """Return the numbers of the workers that sent events or ended, after at most a moment.

        Args:
            only: wait for this worker alone; for all by default.
        """
        workers = self.workers if only is None else {only: self.workers[only]}
        ready = self.executor.wait(list(workers.values()), TICK)
        return [number for number, worker in workers.items() if worker in ready]

    def events(self, numbers: list[int]) -> Iterator[tuple[int, Event | None]]:
        """Yield the events of these workers, each with the worker's number; None if the worker has ended."""
        for number in numbers:
            try:
                for event in self.workers[number].events():
                    yield number, event
            except EOFError:
                yield number, None

    def lose(self, number: int) -> str:
        """Forget a worker that has ended; return how it ended, in words."""
        return self.workers.pop(number).end_reason()

    def pause(self) -> None:
        """Wait until it is time to look again."""
        time.sleep(TICK)

    def look_at(self, number: int) -> None:
        """End a worker that hangs or uses too much memory."""
        worker, task = self.workers[number], self.tasks.get(number)
        if not worker.busy:
            return
        now, processes = time.monotonic(), self.processes
        if task is not None:
            limit = processes.timeout or task.note.seconds
            if now - worker.since > limit:
                worker.end(f"it took more than {limit:.0f} s")
            elif now - worker.heard > QUIET_SECONDS and now - self._spoke > QUIET_SECONDS:
                self._spoke = now  # some jobs, such as bounds, never report passes: say that they are at work
                self.reporter.alive(task.note.title, now - worker.since, 0)
        else:  # training and loading data may be silent for long; the first answers of a model may not
            limit = processes.timeout if processes.timeout and worker.activity == "model" else SILENCE
            if now - worker.heard > limit:
                worker.end(f"it said nothing for {limit:.0f} s")
        if processes.memory and worker.memory > processes.memory:
            worker.end(f"it took more than {processes.memory / 2**20:.0f} MiB of memory")
        elif (short := shortage()) and worker is max(self.workers.values(), key=lambda one: one.memory):
            worker.end(short)

    def disband(self) -> None:
        """End all workers, and release the executor's resources."""
        for worker in self.workers.values():
            worker.end("the run ended")
        for worker in self.workers.values():
            worker.end_reason()
        self.workers.clear()
        self.executor.close()
