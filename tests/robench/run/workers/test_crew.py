"""A crew ends workers that hang or take too much, and only those; its workers are simulated."""

import time

import pytest

from robench.run.progress import Quiet
from robench.run.workers import crew as crew_module
from robench.run.workers.crew import QUIET_SECONDS, SILENCE, Crew
from robench.run.workers.executor import Processes
from robench.run.workers.job_queue import Task
from robench.run.workers.worker_messages import JobNote


class Simulated:
    def __init__(self, *, busy=True, since=0.0, heard=0.0, activity="", memory=0):
        now = time.monotonic()
        self.busy, self.since, self.heard = busy, now - since, now - heard
        self.model, self.activity, self.memory = "net", activity, memory
        self.verdict = ""
        self.told = []

    def events(self):
        yield from self.told
        if self.verdict:
            raise EOFError

    def end(self, verdict=""):
        self.verdict = verdict

    def end_reason(self):
        return self.verdict or "it ended by itself"


class Room:
    """Where simulated workers run: hands out the next one, and remembers whether it was closed."""

    def __init__(self, *workers):
        self.workers, self.closed, self.orders = list(workers), False, []

    def hire(self, orders):
        self.orders.append(orders)
        return self.workers[len(self.orders) - 1]

    def wait(self, workers, timeout):
        return [worker for worker in workers if worker.told]

    def close(self):
        self.closed = True


class Told(Quiet):
    def __init__(self):
        self.alive_titles = []

    def alive(self, text, seconds, passes):
        self.alive_titles.append(text)


@pytest.fixture(autouse=True)
def enough_memory(monkeypatch):
    monkeypatch.setattr(crew_module, "shortage", lambda: "")


def crew_of(*workers, **processes):
    team = Crew(
        orders=lambda number: number,
        processes=Processes(**processes),
        executor=Room(*workers),
        reporter=Told(),
    )
    for number in range(len(workers)):
        assert team.hire(number) is workers[number]
    return team


def task(seconds=100.0):
    note = JobNote(name="n", title="PGD on net", model="net", clean=False, units=1, seconds=seconds)
    return Task(shard=0, index=0, note=note)


@pytest.mark.parametrize(
    ("state", "job", "limits", "verdict"),
    [
        ({"since": 101}, task(100), {}, "it took more than 100 s"),
        ({"since": 99}, task(100), {}, ""),
        ({"since": 99}, task(100), {"timeout": 50}, "it took more than 50 s"),
        ({"since": 101}, task(100), {"timeout": 500}, ""),
        ({"heard": SILENCE + 1}, None, {}, f"it said nothing for {SILENCE:.0f} s"),
        ({"heard": SILENCE - 1}, None, {}, ""),
        ({"heard": 60, "activity": "model"}, None, {"timeout": 50}, "it said nothing for 50 s"),
        ({"heard": 60, "activity": "training"}, None, {"timeout": 50}, ""),
        ({"memory": 2**21}, task(), {"memory": 2**20}, "it took more than 1 MiB of memory"),
        ({"memory": 2**19}, task(), {"memory": 2**20}, ""),
        ({"since": 1e6, "heard": 1e6, "memory": 2**40, "busy": False}, None, {"memory": 1, "timeout": 1}, ""),
    ],
)
def test_a_worker_is_ended_for_its_reason_or_left_alone(state, job, limits, verdict):
    worker = Simulated(**state)  # its clock begins now, and not when tests are collected
    team = crew_of(worker, **limits)
    if job:
        team.tasks[0] = job
    team.look_at(0)
    assert worker.verdict == verdict


def test_where_the_machine_runs_short_the_largest_worker_ends(monkeypatch):
    monkeypatch.setattr(crew_module, "shortage", lambda: "the machine had 1 of 100 MiB left")
    small, large = Simulated(memory=10), Simulated(memory=20)
    team = crew_of(small, large, count=2)
    team.tasks = {0: task(), 1: task()}
    team.look_at(0)
    team.look_at(1)
    assert small.verdict == ""
    assert large.verdict == "the machine had 1 of 100 MiB left"


def test_a_silent_job_is_told_to_be_at_work_and_not_at_every_look():
    worker = Simulated(since=50, heard=QUIET_SECONDS + 1)
    team = crew_of(worker)
    team.tasks[0] = task()
    team.look_at(0)
    team.look_at(0)
    assert team.reporter.alive_titles == ["PGD on net"]
    assert worker.verdict == ""


def test_who_has_nothing_to_do_is_known():
    team = crew_of(Simulated(), Simulated(busy=False), Simulated(), count=3)
    assert team.idle == 1
    team.tasks[0] = task()
    assert team.without_job == 2


def test_events_come_with_their_worker_and_none_where_it_has_ended():
    first, second = Simulated(), Simulated()
    first.told, second.told = [("stage", "a"), ("stage", "b")], [("model", "net")]
    second.verdict = "it was killed"
    team = crew_of(first, second)
    assert team.wait() == [0, 1]
    assert team.wait(only=1) == [1]
    assert list(team.events([0, 1])) == [
        (0, ("stage", "a")), (0, ("stage", "b")), (1, ("model", "net")), (1, None),
    ]  # fmt: skip
    assert team.lose(1) == "it was killed"
    assert list(team.workers) == [0]


def test_at_the_end_all_are_ended_and_the_room_is_closed():
    workers = [Simulated(), Simulated()]
    team = crew_of(*workers)
    team.disband()
    assert [worker.verdict for worker in workers] == ["the run ended"] * 2
    assert not team.workers
    assert team.executor.closed
