"""Divide the work of a plan among worker processes, and survive their failures. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from robench.engines import Engine
from robench.errors import JobError
from robench.record.feature_snapshot import FEATURES
from robench.record.store import Store
from robench.run.outcome import Summary
from robench.run.progress import Reporter
from robench.run.settings import Environment
from robench.run.workers.accounts import Accounts
from robench.run.workers.crew import SILENCE, Crew
from robench.run.workers.executor import Event, Executor, Processes, Worker
from robench.run.workers.job_queue import JobQueue, Task
from robench.run.workers.leases import Leases
from robench.run.workers.models_in_workers import ModelsInWorkers
from robench.run.workers.worker_messages import JobNote, Orders, retell
from robench.run.workers.worker_process import ThisMachine

TRIES = 2
"""A job that has ended its worker so often is not tried again."""

MISFIRES = 5
"""If workers end without a job more often than this, the run is given up."""


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Runs a plan with worker processes.

    Args:
        summary: counts results.
        store: the run folder.
        begin: called once the first worker has the images: from then on the folder belongs to this plan.
        leases: show which process does which job in it.
        environment: device and permissions of the run.
        reporter: shows progress.
        engine: how attacks call networks; see `robench.engines`.
        processes: how work is divided.
        executor: where workers run.
    """

    summary: Summary
    store: Store
    begin: Callable[[], None]
    leases: Leases
    environment: Environment
    reporter: Reporter
    engine: Engine
    processes: Processes
    executor: Executor = field(default_factory=ThisMachine)
    _queue: JobQueue = field(init=False)
    _crew: Crew = field(init=False)
    _models: ModelsInWorkers = field(init=False)
    _accounts: Accounts = field(init=False)
    _lister: int | None = None
    _misfires: int = 0
    _has_said_it_stops: bool = False

    def __post_init__(self) -> None:
        """Begin without any jobs."""
        self._queue = JobQueue(store=self.store, leases=self.leases, part=self.processes.part)
        self._accounts = Accounts(summary=self.summary, store=self.store, reporter=self.reporter)
        self._crew = Crew(
            orders=self._orders, processes=self.processes, executor=self.executor, reporter=self.reporter
        )
        self._models = ModelsInWorkers(
            crew=self._crew,
            queue=self._queue,
            summary=self.summary,
            leases=self.leases,
            stop=self.processes.stop,
            reporter=self.reporter,
            begin=self.begin,
        )

    def run(self) -> float:
        """Do everything; return the seconds that attacks and verdicts took.

        Raises:
            RobenchError: the plan cannot be run here, or writing to disk failed.
            StoppedError: the run was stopped on request.
        """
        try:
            self._models.prepare()
            start = time.perf_counter()
            self.reporter.start(self.summary.expected)
            while not self._queue.empty:
                self._step()
            seconds = time.perf_counter() - start
            if not self.processes.part:
                self._features()
            self.summary.end(whole=self.processes.part is None)
            return seconds
        finally:
            self._crew.disband()

    def _orders(self, number: int) -> Orders:
        """Return the orders of a worker; only the first worker repeats earlier trainings (`force`)."""
        is_first = not self._queue.shard_count
        return Orders(
            plan=self.summary.plan,
            root=str(self.store.root),
            folder=str(Path.cwd()),
            environment=replace(self.environment, force=self.environment.force and is_first),
            force=self.environment.force,
            number=number if self.processes.count > 1 else None,
            engine=self.engine,
            failed=dict(self.summary.failed_models),
            threads=self.processes.threads,
            deterministic=self.processes.deterministic,
        )

    def _step(self) -> None:
        """Give orders to idle workers, then handle events."""
        stop = self.processes.stop
        stop.check(working=bool(self._crew.tasks))
        if stop.soon and not self._has_said_it_stops:
            self._has_said_it_stops = True
            self.reporter.stage("finishing the units in work, then stopping; once more to stop at once")
        if not stop.soon:
            self._give_orders()
        for number, event in self._crew.events(self._crew.wait()):
            if event is None:
                self._lost(number)
            else:
                self._heard(number, event)
        # Only after the events are read: a worker may have finished while this process was stopped (Ctrl-Z).
        for number in list(self._crew.workers):
            self._crew.look_at(number)

    def _give_orders(self) -> None:
        for number in range(self.processes.count):
            worker = self._crew.workers.get(number)
            if worker and worker.busy:
                continue
            task = self._queue.take_next(self._accept_or_fail)
            if task is None:
                if self._lister is None and self._queue.unlisted:
                    self._list_next(number, worker)
                continue
            if worker is None:
                self._crew.hire(number)
                self._queue.give_back(task)
                continue
            self._crew.tasks[number] = task
            worker.order("do", task.shard, task.index, task.note.name)
            self.reporter.begin(task.note.title)

    def _list_next(self, number: int, worker: Worker | None) -> None:
        """Let an idle worker list the jobs of the next shard; start a worker if all are busy."""
        if worker:
            self._lister = number
            worker.order("jobs", self._queue.listed)
        elif self._crew.idle is None and self._crew.without_job < self._queue.unlisted:
            self._crew.hire(number)

    def _accept_or_fail(self, task: Task) -> bool:
        """Return True if a job may be tried; otherwise record that it failed, settle it, and return False.

        A job that has ended its worker twice is tried again only if the user asks for it.
        """
        if task.kills < TRIES or self.processes.retry_failed:
            return True
        reason = f"{task.reason}; twice: try it again with --retry-failed"
        self._accounts.failed(task, reason, is_written=True)
        self._queue.settle(task)
        return False

    def _heard(self, number: int, event: Event) -> None:
        worker, task = self._crew.workers[number], self._crew.tasks.get(number)
        match event:
            case ("jobs", shard, notes):
                worker.busy = False
                self._lister = None
                self._queue.add(shard, notes)
            case ("unit", key, title, from_store) if task:
                self._accounts.unit(task, key, title, from_store=from_store)
            case ("done", titles_by_model, failures):
                worker.busy = False
                self._accounts.failed_units(titles_by_model, failures)
                if task:
                    del self._crew.tasks[number]
                    self._queue.settle(task)
            case ("features", key):
                self.summary.snapshots.append(key)
            case ("stage", text) if task:  # without a job a worker makes its models again: reported before
                self.reporter.stage(text)
            case ("ready", _, _, failures_by_model, _):
                self._models.made_again(number, failures_by_model)
            case _:
                retell(event, self.reporter, quiet=task is None)

    def _lost(self, number: int) -> None:
        """Handle the end of a worker: try its job once more, or let it fail."""
        task = self._crew.tasks.pop(number, None)
        words = self._crew.lose(number)
        if task is None:
            if self._lister == number:
                self._lister = None
            self._misfires += 1
            if self._misfires > MISFIRES:
                expected = "models made again as the first worker made them"
                raise JobError(where="a worker process", expected=expected, got=words)
            self.reporter.stage(f"a worker ended: {words}; another one takes its place")
            return
        task.kills += 1
        by_limit = words.startswith("it took more than")
        if by_limit or task.kills >= TRIES:
            self._accounts.failed(task, words)
            self._queue.settle(task)
            return
        self._accounts.write(task, words)
        self.reporter.stage(f"{task.note.title}: {words}; it is tried once more")
        self._queue.give_back(task)

    def _features(self) -> None:
        """Store the features for figures; if a worker dies at it, only these are lost."""
        while not self.leases.take(FEATURES):
            self.processes.stop.check(working=False)
            self._crew.pause()
        note = JobNote(
            name=FEATURES, title="features for figures", model="", clean=False, units=0, seconds=SILENCE
        )
        task = self._queue.begin_alone(note)
        task.kills = TRIES - 1
        number = self._crew.idle
        if number is None:
            number = 0
            self._crew.hire(number)
            if words := self._models.until_ready(number):  # only the features are lost
                self._accounts.failed(task, words)
                self._queue.settle(task)
                return
        self._crew.tasks[number] = task
        self._crew.workers[number].order("features")
        while self._crew.tasks:
            self._step()
