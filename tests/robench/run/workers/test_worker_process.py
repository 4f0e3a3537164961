"""A worker process is heard to its end, and its end is seen, whatever it leaves behind."""

import signal
import time

import pytest

from robench.plan import config
from robench.run.settings import Environment
from robench.run.workers import worker_process
from robench.run.workers.worker_messages import Orders
from robench.run.workers.worker_process import ThisMachine

BEGIN = """
import os, sys, time
from multiprocessing.connection import Connection
pipe = Connection(int(sys.argv[1]))
"""


@pytest.fixture
def hire(monkeypatch):
    """Return what starts a worker that does something else than work."""
    plan = config.parse(config.locate("digits").read_text(), file=config.locate("digits"), overrides=None)
    here, workers = ThisMachine(), []

    def start(code):
        monkeypatch.setattr(worker_process, "_START", BEGIN + code)
        workers.append(here.hire(Orders(plan=plan, root=".", folder=".", environment=Environment())))
        return here, workers[-1]

    yield start
    for worker in workers:
        worker.end()


def heard(here, worker):
    """Return what a worker told until it ended, None in the end where its end was not seen."""
    events, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline:
        for one in here.wait([worker], 0.05):
            try:
                events += one.events()
            except EOFError:
                return events
    return [*events, None]


FORK = """
if os.fork() == 0:  # it holds the pipe open, in a session of its own
    os.setsid()
    time.sleep(100)
    os._exit(0)
pipe.send(("stage", "forked"))
"""


def test_a_worker_that_leaves_its_pipe_to_a_child_is_seen_to_end(hire):
    here, worker = hire(FORK + "os._exit(7)")
    assert heard(here, worker) == [("stage", "forked")]
    assert worker.end_reason() == "its process ended with exit code 7"


def test_a_worker_that_hangs_can_be_ended_though_a_child_has_its_pipe(hire):
    here, worker = hire(FORK + "time.sleep(100)")
    here.wait([worker], 60)
    assert list(worker.events()) == [("stage", "forked")]
    worker.end("it took too long")
    assert heard(here, worker) == []
    assert worker.end_reason() == "it took too long"


def test_what_is_told_before_the_end_is_heard(hire):
    here, worker = hire("for number in range(2500): pipe.send(('stage', number))")
    assert heard(here, worker) == [("stage", number) for number in range(2500)]
    assert worker.end_reason() == "its process ended with exit code 0"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "message", [b"\x00\x00\x00\x04abcd", b"\x00\x00\x00\x04K\x01\x2e\x2e", b"\x00\x00\x00\x00"]
)
def test_a_worker_whose_pipe_something_else_was_written_to_is_ended(hire, message):
    here, worker = hire(f"os.write(pipe.fileno(), {message!r}); time.sleep(100)")
    assert heard(here, worker) == []
    worker.end_reason()
    assert worker.ended


def test_a_worker_is_seen_to_end_where_nobody_waits_for_children(hire):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        here, worker = hire("pipe.send(('stage', 'once'))")
        assert heard(here, worker) == [("stage", "once")]
        assert worker.end_reason() == "its process ended with exit code 0"
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_worker_that_ends_before_it_is_told_what_to_do_is_seen_to_end(hire, monkeypatch):
    send = worker_process.Connection.send

    def late(self, orders):
        while not worker_process.wait([self], 0.1):  # until the other end is closed
            continue
        send(self, orders)

    monkeypatch.setattr(worker_process.Connection, "send", late)
    here, worker = hire("sys.exit(3)")
    assert heard(here, worker) == []
    assert worker.end_reason() == "its process ended with exit code 3"


@pytest.mark.parametrize("wish", ["ACTIVE", ""])
def test_threads_of_a_worker_sleep_while_they_wait_unless_the_user_says_otherwise(hire, monkeypatch, wish):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if wish:
        monkeypatch.setenv("OMP_WAIT_POLICY", wish)
    here, worker = hire('pipe.send(os.environ["OMP_WAIT_POLICY"])')
    assert heard(here, worker) == [wish or "PASSIVE"]
    assert worker.end_reason() == "its process ended with exit code 0"
