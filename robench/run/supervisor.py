"""Divide the work of a plan among worker processes, and outlive whatever happens to them. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from robench import errors
from robench.errors import JobError, RobenchError
from robench.record.store import Store
from robench.run.backlog import Backlog, Task
from robench.run.executor import Event, Executor, Processes, Worker
from robench.run.leases import Leases
from robench.run.memory import shortage
from robench.run.outcome import Summary
from robench.run.progress import AccuracySoFar, Finished, Reporter
from robench.run.settings import Environment
from robench.run.worker_messages import FEATURES, JobNote, Orders
from robench.run.worker_process import ThisMachine

TRIES = 2
"""How often a job may end its worker before it is not tried again."""

MISFIRES = 5
"""How often workers may end without a job before the run is given up."""

SILENCE = 3600.0
"""Seconds without a word after which the making of models counts as hanging."""

QUIET_SECONDS = 20.0
"""Seconds without a word of a job after which it is told from here that it is at work."""

TICK = 0.2
"""Seconds between two looks at time, memory and signals."""


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Does a plan with worker processes.

    Args:
        summary: counts what was done.
        store: the run folder.
        begin: called once the first worker has the images: from then on the folder is that of this plan.
        leases: who works on what in it.
        environment: where it is done, and what it may do there.
        reporter: who is told.
        eager: ask every network as it is.
        processes: how work is divided.
        executor: where workers run.
    """

    summary: Summary
    store: Store
    begin: Callable[[], None]
    leases: Leases
    environment: Environment
    reporter: Reporter
    eager: bool
    processes: Processes
    executor: Executor = field(default_factory=ThisMachine)
    _crew: dict[int, Worker] = field(default_factory=dict)
    _tasks: dict[int, Task] = field(default_factory=dict)
    _backlog: Backlog = field(init=False)
    _lister: int | None = None
    _misfires: int = 0
    _accuracy: AccuracySoFar = field(default_factory=AccuracySoFar)
    _told_to_stop: bool = False
    _begun: bool = False
    _asked: float = 0.0

    def __post_init__(self) -> None:
        """Begin with nothing known of what there is to do."""
        self._backlog = Backlog(store=self.store, leases=self.leases, part=self.processes.part)

    def run(self) -> float:
        """Do everything; return the seconds that attacks and verdicts took.

        Raises:
            RobenchError: the plan cannot be run here, or the disk refused.
            StoppedError: it was asked to stop.
        """
        try:
            self._prepare()
            judging = time.perf_counter()
            self.reporter.start(self.summary.expected)
            while not self._backlog.empty:
                self._step()
            judging = time.perf_counter() - judging
            if not self.processes.part:
                self._features()
            self.summary.end(whole=self.processes.part is None)
            return judging
        finally:
            for worker in self._crew.values():
                worker.end("the run ended")
            for worker in self._crew.values():
                worker.last_words()
            self._crew.clear()
            self.executor.close()

    def _prepare(self) -> None:
        """Start the first worker and wait for the models; one that kills it is left out."""
        has_note = False
        while not self.leases.take("prepare"):
            if not has_note:
                self.reporter.stage("another process makes the models of this run folder; waiting for it")
            has_note = True
            self.processes.stop.check(working=False)
            time.sleep(TICK)
        try:
            while not self._backlog.pieces:
                worker = self._hire(0)
                if words := self._until_ready(0):
                    self._lost_while_preparing(worker.model, words)
        finally:
            self.leases.free("prepare")

    def _until_ready(self, number: int) -> str:
        """Wait until a worker is ready; where it dies, return how."""
        worker = self._crew[number]
        training = False
        while worker.busy:
            self.executor.wait([worker], TICK)
            self.processes.stop.check(working=training)
            try:
                for event in worker.events():
                    training = self._heard_while_preparing(number, event, training)
            except EOFError:
                del self._crew[number]
                return worker.last_words()
            self._look_at(worker)
        return ""

    def _heard_while_preparing(self, number: int, event: Event, training: bool) -> bool:
        """Take note of an event; return whether a training is under way that should reach its next epoch."""
        first = not self._backlog.pieces
        if not self._begun and event[0] in ("stage", "model", "ready"):
            self._begun = True
            self.begin()
        match event:
            case ("ready", units, pieces, failures, facts):
                if not first:
                    self._made_again(self._crew[number], failures)
                    return training
                self._crew[number].busy = False
                self._backlog.pieces = pieces
                self.summary.expected, self.summary.facts = units, facts
                self.summary.failed_models = dict(failures)
            case ("training", row):
                if first:
                    self.reporter.training(row)
                if "step" not in row:  # its state is kept: nothing is lost if it ends here
                    self.processes.stop.check(working=False)
                return True
            case ("stage", text):
                training = False
                if first:
                    self.reporter.stage(text)
            case ("model", name):
                self.reporter.model(name)
            case _:
                self._heard_anywhere(event, quiet=not first)
        return training

    def _made_again(self, worker: Worker, failures: dict[str, str]) -> None:
        """Let a worker begin that has the models of the first one; with others its jobs would be others."""
        missing = failures.keys() - self.summary.failed_models.keys()
        if not missing:
            worker.busy = False
            return
        name = min(missing)
        worker.end(f"it could not make {name!r} again: {failures[name].strip().splitlines()[-1]}")

    def _lost_while_preparing(self, model: str, words: str) -> None:
        """Note the model that has killed the first worker."""
        if not model or model in self.summary.failed_models:
            raise JobError(
                where="a worker process", expected="the models of the plan made in it", got=words,
                do="Try `--workers 0`, which does everything in one process, to see more",
            )  # fmt: skip
        self.summary.failed_models[model] = words
        self.reporter.failed(f"{model}: {words}")

    def _hire(self, number: int) -> Worker:
        orders = Orders(
            plan=self.summary.plan,
            root=str(self.store.root),
            folder=str(Path.cwd()),
            environment=replace(self.environment, force=self.environment.force and not self._backlog.pieces),
            force=self.environment.force,
            number=number if self.processes.count > 1 else None,
            eager=self.eager,
            failed=dict(self.summary.failed_models),
            threads=self.processes.threads,
            deterministic=self.processes.deterministic,
        )
        worker: Worker = self.executor.hire(orders)
        self._crew[number] = worker
        return worker

    def _step(self) -> None:
        """Give orders to who is idle, then hear what happened."""
        stop = self.processes.stop
        stop.check(working=bool(self._tasks))
        if stop.soon and not self._told_to_stop:
            self._told_to_stop = True
            self.reporter.stage("finishing the units in work, then stopping; once more to stop at once")
        if not stop.soon:
            self._give_orders()
        ready = self.executor.wait(list(self._crew.values()), TICK)
        for number, worker in list(self._crew.items()):
            if worker in ready:
                try:
                    for event in worker.events():
                        self._heard(number, event)
                except EOFError:
                    self._lost(number)
        # Only now: where this process was stopped for a while, a worker may have done its work long ago.
        for worker in list(self._crew.values()):
            self._look_at(worker)

    def _give_orders(self) -> None:
        for number in range(self.processes.count):
            worker = self._crew.get(number)
            if worker and worker.busy:
                continue
            task = self._backlog.taken(self._allowed)
            if task is None:
                if self._lister is None and self._backlog.listed < self._backlog.pieces:
                    self._list_next(number, worker)
                continue
            if worker is None:
                self._hire(number)
                self._backlog.give_back(task)
                continue
            self._tasks[number] = task
            worker.order("do", task.shard, task.index, task.note.name)
            self.reporter.begin(task.note.title)

    def _list_next(self, number: int, worker: Worker | None) -> None:
        """Let an idle worker say what there is to do on the next shard; start one where all are at work."""
        if worker:
            self._lister = number
            worker.order("jobs", self._backlog.listed)
            return
        idle = any(not other.busy for other in self._crew.values())
        starting = len(self._crew) - len(self._tasks)
        if not idle and starting < self._backlog.pieces - self._backlog.listed:
            self._hire(number)

    def _allowed(self, task: Task) -> bool:
        """Tell whether a job may be tried; one that has ended its worker twice fails here."""
        if task.kills < TRIES or self.processes.retry_failed:
            return True
        self._failed(task, f"{task.reason}; twice: try it again with --retry-failed", has_account=True)
        return False

    def _heard(self, number: int, event: Event) -> None:
        worker, task = self._crew[number], self._tasks.get(number)
        match event:
            case ("jobs", shard, notes):
                worker.busy = False
                self._lister = None
                self._backlog.add(shard, notes)
            case ("unit", key, title, from_store) if task:
                if key not in task.keys:  # of a job that is tried again some units are known
                    task.keys.add(key)
                    self._count(key, title, from_store)
            case ("done", titles_by_model, failures):
                worker.busy = False
                self.summary.failures += failures
                for model, titles in titles_by_model.items():
                    self.summary.failed_jobs.setdefault(model, []).extend(titles)
                if task:
                    del self._tasks[number]
                    self._backlog.settle(task)
            case ("features", key):
                self.summary.geometry.append(key)
            case ("stage", text) if task:  # of one that only makes its models again nothing is new
                self.reporter.stage(text)
            case ("ready", _, _, titles_by_model, _):
                self._made_again(worker, titles_by_model)
            case _:
                self._heard_anywhere(event, quiet=task is None)

    def _heard_anywhere(self, event: Event, *, quiet: bool) -> None:
        match event:
            case ("refused", kind, expected, got, do, where):
                error: type[RobenchError] = getattr(errors, kind, RobenchError)
                raise error(expected=expected, got=got, do=do, where=where)
            case ("broke", text):
                raise RuntimeError(text.strip().splitlines()[-1]) from RuntimeError(text)
            case ("said", text):
                self.reporter.failed(text)
            case ("begin", text):
                self.reporter.begin(text)
            case ("alive", text, float(seconds), int(passes)):
                self.reporter.alive(text, seconds, passes)
            case ("workload", list(parts)) if not quiet:
                self.reporter.workload(parts)
            case ("advance", text):
                self.reporter.advance(text)
            case ("finding", text) if not quiet:
                self.reporter.finding(text)

    def _count(self, key: str, title: str, from_store: bool) -> None:
        outcome = Finished(self.store.read(key), cached=from_store)
        self.summary.add(outcome)
        self.store.note(key)
        column = self._accuracy.add(outcome.record)
        self.reporter.advance(title, cached=from_store, accuracy=column)

    def _look_at(self, worker: Worker) -> None:
        """End a worker that hangs, or takes more memory than it may."""
        if not worker.busy:
            return
        task = next((self._tasks[n] for n, w in self._crew.items() if w is worker and n in self._tasks), None)
        now, processes = time.monotonic(), self.processes
        if task is not None:
            limit = processes.timeout or task.note.seconds
            if now - worker.since > limit:
                worker.end(f"it took more than {limit:.0f} s")
            elif now - worker.heard > QUIET_SECONDS and now - self._asked > QUIET_SECONDS:
                self._asked = now  # what tells of no passes, as bounds do, is at work all the same
                self.reporter.alive(task.note.title, now - worker.since, 0)
        else:  # a training or the loading of data may be silent for long; a model that is tried may not
            limit = processes.timeout if processes.timeout and worker.activity == "model" else SILENCE
            if now - worker.heard > limit:
                worker.end(f"it said nothing for {limit:.0f} s")
        if processes.memory and worker.memory > processes.memory:
            worker.end(f"it took more than {processes.memory / 2**20:.0f} MiB of memory")
        elif (short := shortage()) and worker is max(self._crew.values(), key=lambda one: one.memory):
            worker.end(short)

    def _lost(self, number: int) -> None:
        """A worker has ended: try its job once more, or let it fail."""
        worker, task = self._crew[number], self._tasks.pop(number, None)
        words = worker.last_words()
        del self._crew[number]
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
            self._failed(task, words)
            return
        self._write_failure(task, words)
        self.reporter.stage(f"{task.note.title}: {words}; it is tried once more")
        self._backlog.give_back(task)

    def _failed(self, task: Task, reason: str, *, has_account: bool = False) -> None:
        """Note that a job failed, and whose row lacks it; the others go on.

        Args:
            task: the job.
            reason: why it failed.
            has_account: whether the account of its failure is there already.
        """
        if not has_account:
            self._write_failure(task, reason)
        self.summary.failures += 1
        if task.note.model:
            self.summary.failed_jobs.setdefault(task.note.model, []).append(task.note.title)
        self.reporter.failed(f"{task.note.title}: {reason}")
        for _ in range(task.note.units - len(task.keys)):
            self.reporter.advance(f"{task.note.title}: failed")
        self._backlog.settle(task)

    def _write_failure(self, task: Task, reason: str) -> None:
        account = {"job": task.note.title, "error": reason, "kills": task.kills}
        self.store.write_error(task.note.name, account)

    def _features(self) -> None:
        """Keep the features that figures show; whoever dies at it costs them and nothing else."""
        while not self.leases.take(FEATURES):
            self.processes.stop.check(working=False)
            time.sleep(TICK)
        note = JobNote(
            name=FEATURES, title="features for figures", model="", clean=False, units=0, seconds=SILENCE
        )
        task = self._backlog.begun(note)
        task.kills = TRIES - 1
        number = next((n for n, worker in self._crew.items() if not worker.busy), None)
        if number is None:
            number = 0
            self._hire(number)
            if words := self._until_ready(number):  # nothing else is lost by that
                self._failed(task, words)
                return
        self._tasks[number] = task
        self._crew[number].order("features")
        while self._tasks:
            self._step()
