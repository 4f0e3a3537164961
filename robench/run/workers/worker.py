"""A worker: a process of its own that makes the models of a plan and does one job after another.

If it dies, hangs or runs out of memory, one job is lost; the process that started it
(`robench.run.workers.worker_process`) notices that, and the run goes on. It uses one pipe: orders in, events
out, each a tuple whose first entry is its kind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.errors import JobError, RobenchError
from robench.run.settings import Environment
from robench.run.workers.worker_messages import JobNote, Orders, Pipe, Telling

if TYPE_CHECKING:
    from robench.run.evaluate import CleanAnswers
    from robench.run.jobs import Job


def main(number: int) -> None:
    """Carry out the orders from a pipe until it is closed: the body of a worker process.

    Args:
        number: the file descriptor of the pipe; the first message is the worker's `Orders`.
    """
    _settle()
    pipe = Connection(number)
    try:
        plan = prepare_plan(pipe, pipe.recv())
        while carry_out(plan, pipe.recv()):
            pass
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the starting process reports it
        pipe.send(account_of(error))


def prepare_plan(pipe: Pipe, orders: Orders) -> PlanInWorker:
    """Make the models of a plan, report that they are ready, and return them with the work.

    Raises:
        RobenchError: the plan cannot be run here.
    """
    from robench.machine import keep_freed_memory

    keep_freed_memory()
    if orders.threads:
        import torch

        torch.set_num_threads(orders.threads)
    if orders.deterministic:
        _make_deterministic()
    plan = PlanInWorker(pipe, orders)
    pipe.send(("ready", plan.units, len(plan.shards), plan.layout.failed_models, plan.layout.facts))
    return plan


def carry_out(plan: PlanInWorker, order: tuple[Any, ...]) -> bool:
    """Carry out an order; return whether another one may follow."""
    match order:
        case ("jobs", int(shard)):
            plan.tell(shard)
        case ("do", int(shard), int(index), str(name)):
            plan.do(shard, index, name)
        case ("features",):
            plan.features()
        case _:
            return False
    return True


def account_of(error: BaseException) -> tuple[str, ...]:
    """Return the event for an error: our own errors unchanged, any other with its traceback."""
    if isinstance(error, RobenchError):
        return ("refused", type(error).__name__, error.expected, error.got, error.do, error.where)
    return ("broke", "".join(traceback.format_exception(error)))


def _settle() -> None:
    """Leave signals to the process that started this one, and end when that process ends."""
    for number in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, number):
            signal.signal(getattr(signal, number), signal.SIG_IGN)
    parent = os.getppid()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        try:  # if memory is short, the kernel should end this process, not the one that watches it
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
        except OSError:
            pass

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="robench-parent", daemon=True).start()


def _make_deterministic() -> None:
    """Make PyTorch give the same bits in every run; global settings are safe, as the process is ours."""
    import torch

    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)


class PlanInWorker:
    """The models and images of a plan in a worker, and the jobs that are done with them.

    Args:
        pipe: gets the events.
        orders: plan and settings.
    """

    def __init__(self, pipe: Pipe, orders: Orders) -> None:
        from robench.record.store import Store
        from robench.run.evaluate import Context
        from robench.run.keeper import FolderKeeper
        from robench.run.layout import lay_out

        reporter = Telling(pipe)
        store = Store(Path(orders.root), told=reporter.finding)
        self._pipe, self._reporter = pipe, reporter
        self.layout = lay_out(
            orders.plan,
            store,
            _with_own_gpu(orders),
            reporter,
            engine=orders.engine,
            failed=orders.failed,
        )
        self.shards, self.units = list(self.layout.work.shards()), self.layout.work.units()
        self._keeper = FolderKeeper(store, force=orders.force)
        self._context = Context.of(self.layout.work, self._keeper, reporter)
        self._jobs: dict[int, list[Job]] = {}
        self._answers: tuple[int, CleanAnswers] | None = None

    def jobs(self, shard: int) -> list[Job]:
        """Return the jobs of a shard."""
        if shard not in self._jobs:
            self._jobs[shard] = self.layout.work.jobs(self.shards[shard])
        return self._jobs[shard]

    def tell(self, shard: int) -> None:
        """Send the notes on a shard's jobs that the supervisor needs."""
        from robench.run.workers.time_limit import seconds_for

        pace = self.layout.seconds_per_image
        notes = [_noted(job, seconds_for(job, seconds_per_image=pace)) for job in self.jobs(shard)]
        self._pipe.send(("jobs", shard, notes))

    def do(self, shard: int, index: int, name: str) -> None:
        """Do one job and report its units.

        Args:
            shard: number of its shard.
            index: its number among the jobs of the shard.
            name: name of this job in the list of the worker that listed the jobs.

        Raises:
            JobError: the job has another name here: files of a model or of the data have changed since.
        """
        from robench.run.evaluate import do_job

        job = next(iter(self.jobs(shard)[index : index + 1]), None)
        if job is None or _name(job) != name:
            raise JobError(
                where="a worker process",
                expected="the same models and images during the whole run",
                got="models or images that changed after the jobs were listed",
                do="Do not change files of networks and data during a run; run the same command again",
            )
        before = self._keeper.failures
        for unit, outcome in do_job(job, self._answers_on(shard), self._context):
            self._pipe.send(("unit", unit.key, unit.title, outcome.cached))
        self._end(before)

    def features(self) -> None:
        """Store the features for figures."""
        from robench.run.feature_recording import record_features

        before = self._keeper.failures
        for key in record_features(self.layout.work, self._keeper, self._reporter):
            self._pipe.send(("features", key))
        self._end(before)

    def _answers_on(self, shard: int) -> CleanAnswers:
        """Return the clean answers on a shard; those of other processes are read even under `force`."""
        from robench.run.evaluate import CleanAnswers

        if self._answers is None or self._answers[0] != shard:
            keeper = replace(self._keeper, force=False)
            self._answers = (shard, CleanAnswers(self.shards[shard], self.layout.work.settings, keeper))
        return self._answers[1]

    def _end(self, failures_before: int) -> None:
        failures = {model: list(titles) for model, titles in self._keeper.failed_jobs.items()}
        self._keeper.failed_jobs.clear()
        self._pipe.send(("done", failures, self._keeper.failures - failures_before))


def _with_own_gpu(orders: Orders) -> Environment:
    """Return a worker's environment: as requested, or with its own GPU if there are several."""
    environment = orders.environment
    if orders.number is None or environment.device not in ("auto", "cuda"):
        return environment
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return replace(environment, device=f"cuda:{orders.number % gpus}") if gpus > 1 else environment


def _noted(job: Job, seconds: float) -> JobNote:
    crafting = job.crafting
    return JobNote(
        name=_name(job),
        title=crafting.title if crafting else job.units[0].title,
        model=(crafting.source if crafting else job.units[0].target).model.name,
        clean=job.is_clean,
        units=len(job.units),
        seconds=seconds,
    )


def _name(job: Job) -> str:
    return job.key or job.units[0].key
