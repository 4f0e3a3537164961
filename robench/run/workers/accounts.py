"""Results of jobs: finished units are counted, failures written down, both reported. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from robench.record.error_account import ErrorAccount
from robench.record.store import Store
from robench.run.outcome import Summary
from robench.run.progress import AccuracySoFar, Finished, Reporter
from robench.run.workers.job_queue import Task


@dataclass(slots=True, kw_only=True)
class Accounts:
    """Counts the results of jobs, and writes down why jobs failed.

    Args:
        summary: the counts.
        store: the run folder.
        reporter: shows progress and failures.
    """

    summary: Summary
    store: Store
    reporter: Reporter
    _accuracy: AccuracySoFar = field(default_factory=AccuracySoFar)

    def unit(self, task: Task, key: str, title: str, *, from_store: bool) -> None:
        """Count a finished unit of a job, once: units of a repeated job may be counted already."""
        if key in task.keys:
            return
        task.keys.add(key)
        outcome = Finished(self.store.read(key), cached=from_store)
        self.summary.add(outcome)
        self.store.note(key)
        column = self._accuracy.add(outcome.record)
        self.reporter.advance(title, cached=from_store, accuracy=column)

    def failed_units(self, titles_by_model: dict[str, list[str]], count: int) -> None:
        """Count the failures of a job that came to its end, and note which models' rows lack its results."""
        self.summary.failures += count
        for model, titles in titles_by_model.items():
            self.summary.failed_jobs.setdefault(model, []).extend(titles)

    def failed(self, task: Task, reason: str, *, is_written: bool = False) -> None:
        """Note that a job failed, and which model's row lacks its results; other jobs go on.

        Args:
            task: the job.
            reason: why it failed.
            is_written: whether the file about its failure exists already.
        """
        if not is_written:
            self.write(task, reason)
        model, title = task.note.model, task.note.title
        self.failed_units({model: [title]} if model else {}, 1)
        self.reporter.failed(f"{title}: {reason}")
        for _ in range(task.note.units - len(task.keys)):
            self.reporter.advance(f"{title}: failed")

    def write(self, task: Task, reason: str) -> None:
        """Write down why a job failed, and how often it has ended its worker."""
        account: ErrorAccount = {"job": task.note.title, "error": reason, "kills": task.kills}
        self.store.write_error(task.note.name, account)
