"""A command ends when it is told to, also where it cannot answer; what may be finished is not hurried."""

import signal
import subprocess
import sys

import pytest

HEAD = """
import signal, sys, time
from robench.cli import signals
from robench.run.workers.stop import Stop

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
signals.GRACE = 0.2
stop = Stop()
print("begun", flush=True)
"""
BLOCKED = """
with signals.noted(stop):
    print("ready", flush=True)
    while True:  # nobody reads it
        sys.stderr.write("x" * 4096)
        sys.stderr.flush()
"""
BUSY = """
with signals.noted(stop):
    print("ready", flush=True)
    while not stop.soon:
        time.sleep(0.01)
    time.sleep(2)
    print("finished", flush=True)
    while not stop.now:
        time.sleep(0.01)
    print("stopped", flush=True)
"""
DEAF = """
with signals.raised():
    word = "ready"
    while True:
        try:
            print(word, flush=True)
            while True:
                time.sleep(0.01)
        except BaseException as error:  # as some libraries do
            word = type(error).__name__
"""


@pytest.fixture
def start():
    """Return what starts a process and waits until it hears signals."""
    processes = []

    def begin(code):
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", HEAD + code], stdout=pipe, stderr=pipe, text=True)
        processes.append(process)
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "ready\n"]
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGTERM], 143),
        ([signal.SIGINT, signal.SIGINT], 130),
        ([signal.SIGUSR1, signal.SIGTERM], 143),
    ],
)
def test_a_command_whose_progress_nobody_reads_ends(start, numbers, code):
    process = start(BLOCKED)
    for number in numbers[:-1]:
        process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(numbers[-1])
    assert process.wait(timeout=60) == code


@pytest.mark.parametrize(
    ("numbers", "heard", "code"),
    [
        ([signal.SIGTERM], "Terminated", 143),
        ([signal.SIGUSR1], "Terminated", 138),
        ([signal.SIGINT, signal.SIGINT], "KeyboardInterrupt", 130),
        ([signal.SIGINT, signal.SIGTERM], "KeyboardInterrupt", 143),
    ],
)
def test_work_in_this_process_that_catches_everything_ends_all_the_same(start, numbers, heard, code):
    process = start(DEAF)
    process.send_signal(numbers[0])
    assert process.stdout.readline() == f"{heard}\n"
    for number in numbers[1:]:
        process.send_signal(number)
    assert process.wait(timeout=60) == code
    assert "Finished work is saved" in process.stderr.read()


@pytest.mark.thorough
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGUSR1])
def test_units_in_work_are_not_hurried(start, first):
    process = start(BUSY)
    process.send_signal(first)
    assert process.stdout.readline() == "finished\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "stopped\n"
    assert process.wait(timeout=60) == 0
