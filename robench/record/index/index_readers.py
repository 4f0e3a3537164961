"""Processes that read records and make pieces of an index from them; none of them writes to a file.

A process gets a share as a line of JSON, and answers with a line of the lengths of the pieces, and then the
pieces. If a process or its connection fails, only its answer is lost: the caller makes these pieces itself,
by the same function.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from robench.record.index.index_file import MOST_PIECE
from robench.record.index.index_pieces import Share, pieces_of_share

MOST_PROCESSES = 4
"""Each needs about 60 MiB; more processes would only wait for the disk and for the joining of pieces."""

LONGEST_WAIT = 0.2
"""Longest delay in seconds until a signal is handled."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from robench.record.index.index_readers import answer_shares; answer_shares()"
)
"""The code of a process: it has this process's module path, but does not import the user's main module."""


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on every system
        return os.cpu_count() or 1


def pieces_by_processes(shares: Sequence[Share], count: int) -> list[list[bytes] | None]:
    """Return the pieces of every share, None for shares that no process has completed.

    Args:
        shares: the shares to read.
        count: number of processes; with fewer than two nothing is made.
    """
    answers: list[list[bytes] | None] = [None] * len(shares)
    if count < 2:
        return answers
    places = iter(range(len(shares)))
    lock = threading.Lock()
    readers: list[_Reader] = []

    def serve(reader: _Reader) -> None:
        # If the process has ended, sent something else, or got no share, its place stays None.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            while True:
                with lock:
                    place = next(places, None)
                if place is None:
                    return
                answers[place] = reader.pieces(shares[place])

    try:
        for _ in range(min(count, len(shares))):
            with contextlib.suppress(OSError, ValueError, TypeError):  # no memory, no interpreter to start
                readers.append(_Reader())
        threads = [threading.Thread(target=serve, args=(reader,), daemon=True) for reader in readers]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                # Without a limit, a signal that comes just before the wait is handled only after it.
                thread.join(LONGEST_WAIT)
    finally:  # also on Ctrl-C: each thread ends with the process that it reads from
        for reader in readers:
            reader.end()
    return answers


class _Reader:
    """A started process."""

    def __init__(self) -> None:
        # In a session of its own: it does not get Ctrl-C, and is ended by this process.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )

    def pieces(self, share: Share) -> list[bytes]:
        """Return the pieces of a share.

        Raises:
            OSError: the process has ended.
            ValueError: it sent something else.
        """
        order, answer = self._process.stdin, self._process.stdout
        assert order is not None
        assert answer is not None
        order.write(json.dumps(share._asdict()).encode() + b"\n")
        order.flush()
        lengths: Any = json.loads(answer.readline(2**20) or b"null")
        if not isinstance(lengths, list) or not all(
            type(one) is int and 0 < one <= MOST_PIECE for one in lengths
        ):
            raise ValueError("no lengths")
        pieces = [answer.read(length) for length in lengths]
        if [len(piece) for piece in pieces] != lengths:
            raise ValueError("a piece that is cut off")
        return pieces

    def end(self) -> None:
        """End the process at once: it stores nothing."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # data that was not written yet
                    stream.close()


def answer_shares() -> None:
    """Answer every line of stdin with the pieces of that share, as a process does, until no more come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    gc.disable()  # records contain no reference cycles
    asker = os.getppid()
    answers = sys.stdout.buffer
    for line in sys.stdin.buffer:
        share = Share(**json.loads(line))
        try:
            pieces = pieces_of_share(share, go_on=lambda: os.getppid() == asker)
        except InterruptedError:
            return
        answers.write(json.dumps([len(piece) for piece in pieces]).encode() + b"\n")
        for piece in pieces:
            answers.write(piece)
        answers.flush()
