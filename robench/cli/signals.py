"""The effect of Ctrl-C, SIGTERM and SIGUSR1 on a running command."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from robench.cli.guard import Terminated
from robench.run.workers.stop import Stop

GRACE = 4.0
"""Seconds that work in this process has to react to SIGTERM before the process is ended."""


@contextmanager
def noted(stop: Stop) -> Iterator[None]:
    """Ask a run to stop: by Ctrl-C and SIGUSR1 after the units in work, by SIGTERM or a second one at once.

    Slurm can send SIGUSR1 some time before the limit of a job. If this process cannot stop at once, for
    example because the reader of its progress does not read, it ends after `GRACE` seconds.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        stop.ask(number, now=number == signal.SIGTERM)

    with _handled({signal.SIGINT: ask, signal.SIGTERM: ask, _user_signal(): ask}), _listened(patient=True):
        yield


@contextmanager
def raised() -> Iterator[None]:
    """Make SIGTERM and SIGUSR1 raise like Ctrl-C, so that the work at hand is dropped cleanly.

    Python handles signals between two of its own steps; a step of a library may be long. A thread that
    receives them at once ends the process if the work has not reacted after `GRACE` seconds, or at a second
    signal: stored results are in complete files.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(128 + number)

    with _handled({signal.SIGTERM: stop, _user_signal(): stop}), _listened(patient=False):
        yield


def _user_signal() -> int:
    return getattr(signal, "SIGUSR1", signal.SIGTERM)


@contextmanager
def _handled(handlers: dict[int, object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread handles signals
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _listened(*, patient: bool) -> Iterator[None]:
    """Receive signals in a thread, and end the process if the work does not react to them.

    Args:
        patient: whether the first Ctrl-C or SIGUSR1 may take as long as the units in work.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    over = threading.Event()
    threading.Thread(
        target=_listen, args=(reader, over, patient), name="robench-signals", daemon=True
    ).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(writer)


def _listen(reader: int, over: threading.Event, patient: bool) -> None:
    """End the process if the work does not react to a signal in time."""
    first: int | None = None
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while byte := pipe.read(1):
            number = byte[0]
            if number not in (signal.SIGINT, signal.SIGTERM, _user_signal()):
                continue
            again = first is not None
            if again and not patient and not over.is_set():
                _leave(number)
            first = number
            if number == signal.SIGTERM or (again if patient else number != signal.SIGINT):
                threading.Thread(target=_insist, args=(number, over), daemon=True).start()


def _insist(number: int, over: threading.Event) -> None:
    if not over.wait(GRACE):
        _leave(number)


def _leave(number: int) -> None:
    """End the process, with a last message if this cannot block."""
    with contextlib.suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, b"Interrupted. Finished work is saved; the same command again resumes.\n")
    os._exit(128 + number)
