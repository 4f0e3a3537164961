"""A worker process seen from outside: orders, events, duration, and how it ended. No torch here."""

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
from robench.run.workers.executor import Event
from robench.run.workers.process_memory import memory_of
from robench.run.workers.worker_messages import Orders

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    "from robench.run.workers.worker import main; main(int(sys.argv[1]))"
)
"""The code of a worker: it has this process's module path, but does not import the user's main module."""

_NO_EVENT = (pickle.UnpicklingError, AttributeError, ImportError, LookupError, TypeError, ValueError)
"""Errors on reading an event if a model has written something else into the pipe."""

AT_ONCE = 1000
"""Most events read in a row, so that a worker that sends without end can still be stopped."""

LAST_SECONDS = 5.0
"""Seconds that a worker has to end after it has closed its pipe."""


class WorkerProcess:
    """A worker that was started.

    Args:
        orders: its first message.

    Attributes:
        pipe: the pipe of its events.
        busy: whether an order is being carried out; making the models is one.
        since: when the order was given, by `time.monotonic`.
        heard: time of the last event.
        model: the model that was made or tried last.
        activity: kind of the last event about an activity: `model`, `stage` or `training`.
        verdict: why this process ended it; empty if it did not.
    """

    def __init__(self, orders: Orders) -> None:
        self.pipe: Connection
        self.pipe, theirs = Pipe()
        number = theirs.fileno()
        command = [sys.executable, "-P", "-c", _START, str(number), json.dumps(sys.path)]
        # In a session of its own: it can be ended with all its children, and does not get Ctrl-C.
        self._process = subprocess.Popen(
            command,
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=WAITING_THREADS | os.environ,
        )
        theirs.close()  # otherwise its end could not be noticed
        with contextlib.suppress(OSError):  # if it has ended already, reading its events shows that
            self.pipe.send(orders)
        self.busy, self.model, self.activity, self.verdict = True, "", "", ""
        self.since = self.heard = time.monotonic()

    @property
    def memory(self) -> int:
        """Bytes it takes."""
        return memory_of(self._process.pid)

    def order(self, *order: Any) -> None:
        """Give an order; if the worker is dead already, reading its events shows that."""
        self.busy, self.since = True, time.monotonic()
        self.heard = self.since
        with contextlib.suppress(OSError):
            self.pipe.send(order)

    def events(self) -> Iterator[Event]:
        """Yield its events since the last call.

        Raises:
            EOFError: it has ended.
        """
        is_over = self.ended  # checked first, so that events before its end are not lost
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
                return  # more events may wait, but the caller has other things to do too
        except OSError as error:
            raise EOFError from error
        except _NO_EVENT as error:
            self.end(f"it sent something that is not an event ({type(error).__name__})")
            raise EOFError from error
        if is_over:  # its forked children may hold the pipe open
            raise EOFError

    @property
    def ended(self) -> bool:
        """Whether the process has ended; it is not reaped yet, so that no other process gets its number."""
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:  # where SIGCHLD is ignored, as some services start a command, nothing waits
            return True

    def end(self, verdict: str = "") -> None:
        """End it at once; its stored files are always complete.

        Args:
            verdict: why.
        """
        self.verdict = self.verdict or verdict
        self._end_all()

    def _end_all(self) -> None:
        """End the process and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end_reason(self) -> str:
        """Return how it ended, in words; no more events can be read."""
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
        """Wait until workers send events or end, at most `timeout` seconds; return these workers."""
        ready = wait([worker.pipe for worker in workers], timeout)
        return [worker for worker in workers if worker.pipe in ready or worker.ended]

    def close(self) -> None:
        """Nothing is left to close."""
