"""Models are made in workers: the first decides which models exist, later ones make them again. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robench.errors import JobError
from robench.run.outcome import Summary
from robench.run.progress import Reporter
from robench.run.workers.crew import Crew
from robench.run.workers.executor import Event
from robench.run.workers.job_queue import JobQueue
from robench.run.workers.leases import Leases
from robench.run.workers.stop import Stop
from robench.run.workers.worker_messages import retell


@dataclass(slots=True, kw_only=True)
class ModelsInWorkers:
    """Waits until workers have made the models of a plan.

    Args:
        crew: the workers.
        queue: gets the number of shards.
        summary: gets the number of expected records, and the models that could not be made.
        leases: show which process makes models in the run folder.
        stop: tells whether the run should stop.
        reporter: shows progress.
        begin: called when the folder begins to belong to this plan: once the first worker has the images if
            networks are trained, which takes long; otherwise once it has the networks too.
    """

    crew: Crew
    queue: JobQueue
    summary: Summary
    leases: Leases
    stop: Stop
    reporter: Reporter
    begin: Callable[[], None]
    _begun: bool = False

    def prepare(self) -> None:
        """Start the first worker and wait for the models; a model that kills it is left out.

        Raises:
            JobError: the worker ends before it begins a model, or at a model that was left out.
        """
        has_told = False
        while not self.leases.take("prepare"):
            if not has_told:
                self.reporter.stage("another process makes the models of this run folder; waiting for it")
            has_told = True
            self.stop.check(working=False)
            self.crew.pause()
        try:
            while not self.queue.shard_count:
                worker = self.crew.hire(0)
                if words := self.until_ready(0):
                    self._leave_out(worker.model, words)
        finally:
            self.leases.free("prepare")

    def until_ready(self, number: int) -> str:
        """Wait until a worker is ready; if it dies, return how, in words."""
        training = False
        while self.crew.workers[number].busy:
            ready = self.crew.wait(only=number)
            self.stop.check(working=training)
            for _, event in self.crew.events(ready):
                if event is None:
                    return self.crew.lose(number)
                training = self._heard(number, event, training)
            self.crew.look_at(number)
        return ""

    def made_again(self, number: int, failures: dict[str, str]) -> None:
        """Let a worker begin if it has the first worker's models; else end it, as its jobs would differ."""
        worker = self.crew.workers[number]
        missing = failures.keys() - self.summary.failed_models.keys()
        if not missing:
            worker.busy = False
            return
        name = min(missing)
        worker.end(f"it could not make {name!r} again: {failures[name].strip().splitlines()[-1]}")

    def _heard(self, number: int, event: Event, training: bool) -> bool:
        """Handle an event; return whether a training is running that should reach its next epoch."""
        first = not self.queue.shard_count
        trains = any(spec.train for spec in self.summary.plan.models)
        if not self._begun and (event[0] == "ready" or (trains and event[0] in ("stage", "model"))):
            self._begun = True
            self.begin()
        match event:
            case ("ready", _, _, failures, _) if not first:
                self.made_again(number, failures)
            case ("ready", units, shard_count, failures, facts):
                self.crew.workers[number].busy = False
                self.queue.shard_count = shard_count
                self.summary.expected, self.summary.facts = units, facts
                self.summary.failed_models = dict(failures)
            case ("training", row):
                if first:
                    self.reporter.training(row)
                if "step" not in row:  # its state is stored: nothing is lost if it ends here
                    self.stop.check(working=False)
                return True
            case ("stage", text):
                training = False
                if first:
                    self.reporter.stage(text)
            case ("model", name):
                self.reporter.model(name)
            case _:
                retell(event, self.reporter, quiet=not first)
        return training

    def _leave_out(self, model: str, words: str) -> None:
        """Note the model that killed the first worker."""
        if not model or model in self.summary.failed_models:
            raise JobError(
                where="a worker process", expected="the models of the plan made in it", got=words,
                do="Try `--workers 0`, which does everything in one process, to see more",
            )  # fmt: skip
        self.summary.failed_models[model] = words
        self.reporter.failed(f"{model}: {words}")
