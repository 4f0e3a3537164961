"""A worker process seen from outside: orders, events, how long it takes, how it ended. No torch here."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from robench.machine import WAITING_THREADS
from robench.run.executor import Event
from robench.run.process_memory import memory_of
from robench.run.worker_messages import Orders

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    "from robench.run.worker import main; main(int(sys.argv[1]))"
)
"""What a worker runs: it finds modules where this process does, and nothing of a user's main module."""

_NO_EVENT = (pickle.UnpicklingError, AttributeError, ImportError, LookupError, TypeError, ValueError)
"""What reading an event raises where a model has written something else into the pipe."""

AT_ONCE = 1000
"""Most events that are heard in a row: one who never stops telling keeps nobody from being stopped."""

LAST_SECONDS = 5.0
"""Seconds that a worker which has closed its pipe may take to end."""


class WorkerProcess:
    """A worker that was started.

    Args:
        orders: what it is made with.

    Attributes:
        pipe: what it tells comes out of it.
        busy: whether an order is being carried out; making the models is one.
        since: when the order was given, by `time.monotonic`.
        heard: when an event came last.
        model: the model that was made or tried last.
        activity: kind of the last event that says what is done: `model`, `stage` or `training`.
        verdict: why it was ended from here; empty if it was not.
    """

    def __init__(self, orders: Orders) -> None:
        self.pipe: Connection
        self.pipe, theirs = Pipe()
        number = theirs.fileno()
        command = [sys.executable, "-P", "-c", _START, str(number), json.dumps(sys.path)]
        # In a session of its own: it ends with whatever it has started, and hears no Ctrl-C.
        self._process = subprocess.Popen(
            command,
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=WAITING_THREADS | os.environ,
        )
        theirs.close()  # else its end could not be seen
        with contextlib.suppress(OSError):  # that it has ended already is found with its events
            self.pipe.send(orders)
        self.busy, self.model, self.activity, self.verdict = True, "", "", ""
        self.since = self.heard = time.monotonic()

    @property
    def memory(self) -> int:
        """Bytes it takes."""
        return memory_of(self._process.pid)

    def order(self, *order: Any) -> None:
        """Give an order; that it is dead already is found with its events."""
        self.busy, self.since = True, time.monotonic()
        self.heard = self.since
        with contextlib.suppress(OSError):
            self.pipe.send(order)

    def events(self) -> Iterator[Event]:
        """Yield what it told since it was asked last.

        Raises:
            EOFError: it has ended.
        """
        is_over = self.ended  # asked first: what it told before its end is not lost
        try:
            for _ in range(AT_ONCE):
                if not self.pipe.poll():
                    break
                event: Event = self.pipe.recv()
                self.heard = time.monotonic()
                if event[0] in ("model", "stage", "training"):
                    self.activity = event[0]
                if event[0] == "model":
                    self.model = event[1]
                yield event
            else:
                return  # more may wait, but whoever listens has other things to look at too
        except OSError as error:
            raise EOFError from error
        except _NO_EVENT as error:
            self.end(f"something else than events came out of its pipe ({type(error).__name__})")
            raise EOFError from error
        if is_over:  # what it has forked may hold its pipe open
            raise EOFError

    @property
    def ended(self) -> bool:
        """Whether the process has ended; it is not reaped, so that its number stands for nobody else."""
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:  # where SIGCHLD is ignored, as some services start a command, nothing waits
            return True

    def end(self, verdict: str = "") -> None:
        """End it at once: what it keeps, it keeps in whole files.

        Args:
            verdict: why.
        """
        self.verdict = self.verdict or verdict
        self._end_all()

    def _end_all(self) -> None:
        """End the process and those it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """Return how it ended, in words; nothing more can be heard of it."""
        deadline = time.monotonic() + LAST_SECONDS
        while not self.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        self._end_all()
        code = self._process.wait()
        self.pipe.close()
        if self.verdict:
            return self.verdict
        if code < 0:
            try:
                return f"its process was killed by {signal.Signals(-code).name}"
            except ValueError:
                return f"its process was killed by signal {-code}"
        return f"its process ended with exit code {code}"


class ThisMachine:
    """Starts workers as processes of this machine."""

    def hire(self, orders: Orders) -> WorkerProcess:
        """Start a worker."""
        return WorkerProcess(orders)

    def wait(self, workers: Sequence[WorkerProcess], timeout: float) -> list[WorkerProcess]:
        """Wait until a worker tells something or ends, at most so many seconds; return those that did."""
        ready = wait([worker.pipe for worker in workers], timeout)
        return [worker for worker in workers if worker.pipe in ready or worker.ended]

    def close(self) -> None:
        """Nothing is left to close."""
