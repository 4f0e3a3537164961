"""The jobs of each shard: which of them wait, are ready, or are taken.

All jobs are in it, also those of an earlier run: `robench.run.evaluate` skips their finished units.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from robench.record.store import Store
from robench.run.workers.leases import Leases
from robench.run.workers.worker_messages import JobNote

LOOK_AGAIN = 1.0
"""Seconds after which a job that another process has is checked again."""


@dataclass(slots=True, kw_only=True)
class Task:
    """A job to be done: its place, and its history so far.

    Attributes:
        shard: number of its shard.
        index: its number among the jobs of the shard.
        note: title, model and size of the job.
        kills: how often it has ended its worker.
        reason: why it failed before.
        keys: its units that were finished in this run.
        not_before: when it is checked again, by `time.monotonic`.
    """

    shard: int
    index: int
    note: JobNote
    kills: int = 0
    reason: str = ""
    keys: set[str] = field(default_factory=set)
    not_before: float = 0.0


@dataclass(slots=True)
class ShardTasks:
    """The jobs of a shard that nobody has begun; attacks wait for the clean answers of all models.

    Attributes:
        clean: jobs that judge clean images.
        attacks: all other jobs.
        open_clean: clean jobs that are neither finished nor failed.
        in_work: number of jobs in progress.
    """

    clean: deque[Task]
    attacks: deque[Task]
    open_clean: int
    in_work: int = 0

    def ready(self) -> Iterator[tuple[deque[Task], Task]]:
        """Yield the jobs that can begin, each with its queue."""
        for queue in [self.clean] if self.open_clean else [self.clean, self.attacks]:
            for task in list(queue):
                yield queue, task


@dataclass(slots=True, kw_only=True)
class JobQueue:
    """The jobs of a run that are neither finished nor failed.

    Args:
        store: the run folder, which stores how often a job has ended its worker.
        leases: show which process has which job.
        part: (i, n): do part i, counted from 1, of n parts of the attacks; None for all.
        shard_count: how many shards there are.
        listed: how many shards have their jobs in the queue.
    """

    store: Store
    leases: Leases
    part: tuple[int, int] | None = None
    shard_count: int = 0
    listed: int = 0
    _shards: dict[int, ShardTasks] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether no job is left."""
        return self.listed == self.shard_count and not self._shards

    @property
    def unlisted(self) -> int:
        """How many shards do not have their jobs in the queue yet."""
        return self.shard_count - self.listed

    def add(self, shard: int, notes: list[JobNote]) -> None:
        """Add the jobs of the next shard."""
        tasks = [self._task(shard, index, note) for index, note in enumerate(notes)]
        clean = deque(task for task in tasks if task.note.clean)
        attacks = deque(task for task in tasks if not task.note.clean)
        if self.part:  # every `count`-th attack; numbers continue from shard to shard
            number, count = self.part
            first = (number - 1 - shard * len(attacks)) % count
            attacks = deque(list(attacks)[first::count])
        self.listed += 1
        if clean or attacks:
            self._shards[shard] = ShardTasks(clean, attacks, len(clean))

    def begin_alone(self, note: JobNote) -> Task:
        """Begin a job that belongs to no shard, and return it; its lease must be held already."""
        self._shards[-1] = ShardTasks(deque(), deque(), 0, in_work=1)
        return Task(shard=-1, index=-1, note=note)

    def take_next(self, accept: Callable[[Task], bool]) -> Task | None:
        """Take the next free job, with its lease, and return it; None if there is none at the moment.

        Args:
            accept: called with the taken job. It returns True, or settles the job and returns False.
        """
        now = time.monotonic()
        for shard in list(self._shards.values()):
            for queue, task in shard.ready():
                if task.not_before > now:
                    continue
                if not self.leases.take(task.note.name):
                    task.not_before = now + LOOK_AGAIN
                    continue
                queue.remove(task)
                shard.in_work += 1
                if accept(task):
                    return task
        return None

    def give_back(self, task: Task) -> None:
        """Put a job back in front of its queue."""
        shard = self._shards[task.shard]
        shard.in_work -= 1
        (shard.clean if task.note.clean else shard.attacks).appendleft(task)
        self.leases.free(task.note.name)

    def settle(self, task: Task) -> None:
        """Note that a job needs no more work."""
        self.leases.free(task.note.name)
        shard = self._shards[task.shard]
        shard.in_work -= 1
        shard.open_clean -= task.note.clean
        if not (shard.clean or shard.attacks or shard.in_work):
            del self._shards[task.shard]

    def _task(self, shard: int, index: int, note: JobNote) -> Task:
        """Return a job to be done, with the number of workers it has ended in earlier runs."""
        account = self.store.read_error(note.name)
        kills = account.get("kills", 0)
        earlier_kills = kills if isinstance(kills, int) else 0
        return Task(
            shard=shard, index=index, note=note, kills=earlier_kills, reason=str(account.get("error", ""))
        )
