"""The supervisor divides work among workers; here they are simulated, and die where a test wants it."""

import contextlib
import json
import time
from collections import deque
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robench.errors import InputError, JobError
from robench.plan import config
from robench.record.schema import Columns
from robench.record.store import Store
from robench.run.outcome import Summary
from robench.run.progress import Quiet
from robench.run.settings import Environment
from robench.run.workers import crew, job_queue
from robench.run.workers.executor import Processes
from robench.run.workers.leases import Leases
from robench.run.workers.stop import Stop, StoppedError
from robench.run.workers.supervisor import Supervisor
from robench.run.workers.worker_messages import JobNote
from tests.records import record_of


def record(key):
    numbers = {name: [0.0] for name in ("linf", "l2", "forwards", "backwards")}
    columns = Columns(
        index=[0], label=[1], clean=[1], adversarial=[1], status=["robust"], first_success=[0], **numbers
    )
    return record_of(
        key=key, target={"name": "net"}, source={"name": "net"}, attack={"label": key}, seed=0,
        threat={"norm": "Linf"}, dataset={"name": "d", "split": "test"}, columns=columns, provenance={},
    )  # fmt: skip


class Hall:
    """What all simulated workers of a test share: the jobs, who does what, and who dies when."""

    def __init__(self, store, pieces=2, clean=2, attacks=3, deaths=(), making=(), looks=0):
        self.store, self.pieces, self.counts = store, pieces, (clean, attacks)
        self.looks, self.together = looks, []  # how long a job takes; how many are done at a time
        self.deaths, self.making = deque(deaths), deque(making)
        self.log, self.crew = [], []

    def notes(self, shard):
        clean, attacks = self.counts
        return [
            JobNote(
                name=f"s{shard}j{index}", title=f"job {index} of {shard}", model="net", clean=index < clean,
                units=1, seconds=1000.0,
            )
            for index in range(clean + attacks)
        ]  # fmt: skip

    def hire(self, orders):
        worker = Simulated(self, orders)
        self.crew.append(worker)
        return worker

    def wait(self, workers, timeout):
        return workers

    def close(self):
        self.crew.append(None)


class Simulated:
    """A worker that answers at once, or dies where its hall says so."""

    def __init__(self, hall, orders):
        self.hall, self.orders = hall, orders
        self.busy, self.model, self.activity = True, "", ""
        self.since = self.heard = time.monotonic()
        self.memory, self.dead, self.words = 0, False, ""
        self.looks = 0
        self.told = deque([("model", "net")])
        death = hall.making.popleft() if hall.making else None
        if isinstance(death, dict):  # it could make fewer models than others
            self.told.append(("ready", 1, hall.pieces, {**orders.failed, **death}, {"versions": {}}))
        elif isinstance(death, Exception):
            self.told.append(("refused", type(death).__name__, death.expected, death.got, "", ""))
        elif death:
            self.model, self.dead, self.words = death, True, "its process ended with exit code 1"
        else:
            hall_size = hall.pieces * sum(hall.counts)
            self.told.append(("ready", hall_size, hall.pieces, dict(orders.failed), {"versions": {}}))

    def order(self, kind, *arguments):
        assert not self.dead
        self.busy, self.since = True, time.monotonic()
        self.hall.log.append((kind, *arguments[:2]))
        if kind == "jobs":
            self.told.append(("jobs", arguments[0], self.hall.notes(arguments[0])))
        elif kind == "do":
            self.looks = self.hall.looks
            self.hall.together.append(sum(worker.looks > 0 for worker in self.hall.crew))
            if self.hall.deaths and self.hall.deaths.popleft():
                self.dead, self.words = True, "its process was killed by SIGSEGV"
                return
            key = self.hall.notes(arguments[0])[arguments[1]].name
            from_store = self.hall.store.unit(key).is_file()
            self.hall.store.write(record(key))
            self.hall.store.error(key).unlink(missing_ok=True)
            self.told += [("begin", key), ("unit", key, key, from_store), ("done", {}, 0)]
        else:
            self.told += [("features", "f"), ("done", {}, 0)]

    def events(self):
        if self.looks > 1:
            self.looks -= 1
            return
        self.looks = 0
        while self.told:
            event = self.told.popleft()
            self.model = event[1] if event[0] == "model" else self.model
            yield event
        if self.dead:
            raise EOFError

    def end(self, verdict=""):
        self.dead, self.words = True, self.words or verdict

    def end_reason(self):
        return self.words


@pytest.fixture
def hire(monkeypatch, tmp_path):
    """Return what makes a supervisor over simulated workers."""
    monkeypatch.setattr(crew, "TICK", 0.0)
    plan = config.parse(config.locate("digits").read_text(), file=config.locate("digits"), overrides=None)

    def make(leases, *, root=None, processes=None, reporter=None, environment=None, **options):
        store = Store(root or tmp_path)
        store.prepare()
        hall = Hall(store, **options)
        summary = Summary(plan=plan, command="")
        supervisor = Supervisor(
            summary=summary, store=store, begin=lambda: store.begin({}, ""), leases=leases,
            environment=environment or Environment(), reporter=reporter or Quiet(),
            engine="auto", processes=processes or Processes(count=2), executor=hall,
        )  # fmt: skip
        return supervisor, hall, summary

    return make


@contextlib.contextmanager
def joined(tmp_path):
    with Leases(tmp_path / "leases").joined("p") as leases:
        yield leases


def test_every_job_is_done_once_and_attacks_after_the_clean_images_of_their_shard(hire, tmp_path):
    with joined(tmp_path) as leases:
        supervisor, hall, summary = hire(leases, pieces=3)
        supervisor.run()
    jobs = [order[1:] for order in hall.log if order[0] == "do"]
    assert sorted(jobs) == [(shard, index) for shard in range(3) for index in range(5)]
    for shard in range(3):
        order = [index for where, index in jobs if where == shard]
        assert set(order[:2]) == {0, 1}
    assert (summary.status, len(summary.units), summary.snapshots) == ("finished", 15, ["f"])
    assert hall.crew.pop() is None  # it is closed at the end
    assert len(hall.crew) == 2
    assert all(worker.dead for worker in hall.crew)


@pytest.mark.parametrize(("count", "pieces", "together"), [(1, 6, 1), (2, 6, 2), (3, 6, 3), (4, 2, 2)])
def test_one_attack_on_one_model_is_divided_by_shards(hire, tmp_path, count, pieces, together):
    with joined(tmp_path) as leases:
        supervisor, hall, summary = hire(
            leases, processes=Processes(count=count), pieces=pieces, clean=1, attacks=1, looks=20
        )
        supervisor.run()
    assert max(hall.together) == together
    assert len([worker for worker in hall.crew if worker]) == together  # nobody is hired for nothing
    jobs = [order[1:] for order in hall.log if order[0] == "do"]
    assert sorted(jobs) == [(shard, index) for shard in range(pieces) for index in range(2)]
    assert summary.status == "finished"


@pytest.mark.thorough
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 4), pieces=st.integers(1, 3), clean=st.integers(0, 2), attacks=st.integers(0, 4),
    deaths=st.lists(st.booleans(), max_size=12), looks=st.integers(0, 3),
)  # fmt: skip
def test_whoever_dies_every_job_is_finished_or_failed(
    hire, tmp_path_factory, count, pieces, clean, attacks, deaths, looks
):
    root = tmp_path_factory.mktemp("run")
    with joined(root) as leases:
        supervisor, hall, summary = hire(
            leases, root=root, processes=Processes(count=count), pieces=pieces, clean=clean, attacks=attacks,
            deaths=deaths, looks=looks,
        )  # fmt: skip
        supervisor.run()
    jobs = pieces * (clean + attacks)
    errors = hall.store.read_errors()
    assert len(summary.units) == len(set(summary.units)) == jobs - len(errors)
    assert summary.failures == len(errors) == sum(map(len, summary.failed_jobs.values()))
    assert all(account["kills"] == 2 for account in errors.values())
    assert summary.status == ("failed jobs" if errors else "finished")
    orders = [order[1:] for order in hall.log if order[0] == "do"]
    assert all(orders.count(order) <= 2 for order in orders)


def test_what_has_ended_two_workers_is_not_tried_a_third_time(hire, tmp_path):
    for _ in range(2):
        with joined(tmp_path) as leases:
            supervisor, hall, summary = hire(leases, pieces=1, clean=1, attacks=0, deaths=[True, True])
            supervisor.run()
        assert summary.failed_jobs == {"net": ["job 0 of 0"]}
    assert [order for order in hall.log if order[0] == "do"] == []
    with joined(tmp_path) as leases:
        processes = Processes(retry_failed=True)
        supervisor, hall, summary = hire(leases, processes=processes, pieces=1, clean=1, attacks=0)
        supervisor.run()
    assert (summary.status, len(summary.units)) == ("finished", 1)


def test_a_model_that_kills_its_maker_is_left_out(hire, tmp_path):
    with joined(tmp_path) as leases:
        supervisor, hall, summary = hire(leases, making=["net"])
        supervisor.run()
    assert summary.failed_models == {"net": "its process ended with exit code 1"}
    assert hall.crew[1].orders.failed == summary.failed_models
    assert summary.status == "failed jobs"


def test_whoever_dies_while_it_makes_models_for_features_costs_these_alone(hire, tmp_path):
    with joined(tmp_path) as leases:
        supervisor, hall, summary = hire(
            leases, pieces=1, clean=1, attacks=0, deaths=[True, True], making=[None, None, "net"],
            processes=Processes(count=1),
        )  # fmt: skip
        supervisor.run()
    assert summary.failed_models == {}
    assert summary.failed_jobs == {"net": ["job 0 of 0"]}
    assert set(hall.store.read_errors()) == {"s0j0", "features"}
    assert summary.status == "failed jobs"


def test_a_worker_that_makes_fewer_models_does_no_job(hire, tmp_path):
    texts = []

    class Heard(Quiet):
        def stage(self, text):
            texts.append(text)

    with joined(tmp_path) as leases:
        fewer = {"net": "Traceback\nout of memory"}
        supervisor, _, summary = hire(
            leases, pieces=1, deaths=[True], making=[None, fewer], processes=Processes(count=1),
            reporter=Heard(),
        )  # fmt: skip
        supervisor.run()
    assert texts[-1] == (
        "a worker ended: it could not make 'net' again: out of memory; another one takes its place"
    )
    assert summary.failed_models == {}
    assert (summary.status, len(summary.units)) == ("finished", 5)


def test_a_worker_that_cannot_start_ends_the_run(hire, tmp_path):
    with joined(tmp_path) as leases:
        supervisor, hall, _ = hire(leases, making=["net", "net"])
        with pytest.raises(JobError, match="exit code 1"):
            supervisor.run()
    assert all(worker.dead for worker in hall.crew[:-1])


def test_what_a_worker_refuses_is_refused(hire, tmp_path):
    refusal = InputError(expected="images", got="none")
    with joined(tmp_path) as leases:
        supervisor, _, _ = hire(leases, making=[refusal])
        with pytest.raises(InputError, match="expected images, got none"):
            supervisor.run()


def test_only_the_first_worker_trains_anew(hire, tmp_path):
    with joined(tmp_path) as leases:
        supervisor, hall, _ = hire(
            leases,
            deaths=[True, False, True],
            processes=Processes(count=2),
            environment=Environment(force=True),
        )
        supervisor.run()
    orders = [worker.orders for worker in hall.crew[:-1]]
    assert len(orders) > 2
    assert [one.environment.force for one in orders] == [True] + [False] * (len(orders) - 1)
    assert all(one.force for one in orders)  # everything is judged again, whoever does it


def test_what_a_worker_says_at_work_is_told_and_what_it_says_while_it_starts_is_not(hire, tmp_path):
    class Heard(Quiet):
        texts: ClassVar[list[str]] = []

        def stage(self, text):
            self.texts.append(text)

    with joined(tmp_path) as leases:
        supervisor, _, _ = hire(leases, pieces=1, processes=Processes(count=1), reporter=Heard())
        with pytest.MonkeyPatch.context() as patch:
            order = Simulated.order

            def talkative(self, kind, *arguments):
                self.told.append(("stage", f"at {kind}"))
                order(self, kind, *arguments)

            patch.setattr(Simulated, "order", talkative)
            supervisor.run()
    assert Heard.texts == ["at do"] * 5 + ["at features"]


def test_what_breaks_a_worker_is_told_in_one_line(hire, tmp_path, monkeypatch):
    trace = "Traceback (most recent call last):\n  somewhere\nValueError: of no use\n"
    monkeypatch.setattr(Simulated, "events", lambda self: iter([("broke", trace)]))
    with joined(tmp_path) as leases:
        supervisor, _, _ = hire(leases)
        with pytest.raises(RuntimeError, match=r"^ValueError: of no use$") as error:
            supervisor.run()
    assert str(error.value.__cause__) == trace


def test_it_waits_for_what_another_run_does_and_counts_it_as_there(hire, tmp_path, monkeypatch):
    monkeypatch.setattr(job_queue, "LOOK_AGAIN", 0.0)
    with joined(tmp_path) as theirs, joined(tmp_path) as leases:
        supervisor, hall, summary = hire(leases, pieces=1, clean=1, attacks=1)
        assert theirs.take("s0j0")
        steps = []

        def step(real=supervisor._step):
            steps.append(1)
            if len(steps) == 20:
                assert [order for order in hall.log if order[0] == "do"] == []  # the attack waits for it
                hall.store.write(record("s0j0"))
                theirs.free("s0j0")
            real()

        supervisor.__class__ = type(
            "Stepping", (Supervisor,), {"_step": lambda self: step(), "__slots__": ()}
        )
        supervisor.run()
    assert (summary.cached, len(summary.units)) == (1, 2)


def test_it_stops_after_the_jobs_in_work(hire, tmp_path):
    stop = Stop()

    class Asking(Quiet):
        def advance(self, text, *, cached=False, accuracy=None):
            if text == "s0j1":
                stop.ask(10, now=False)

    with joined(tmp_path) as leases:
        processes = Processes(count=1, stop=stop)
        supervisor, _, summary = hire(leases, processes=processes, pieces=1, reporter=Asking())
        with pytest.raises(StoppedError) as error:
            supervisor.run()
    assert error.value.exit_code == 138
    assert summary.units == ["s0j0", "s0j1"]
    assert summary.status == "interrupted"
    assert not (tmp_path / "leases").exists()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_parts_cover_everything_once(hire, tmp_path, count):
    attacks = []
    for number in range(1, count + 1):
        root = tmp_path / str(number)
        with joined(root) as leases:
            processes = Processes(part=(number, count))
            supervisor, hall, summary = hire(leases, root=root, processes=processes, pieces=3, attacks=5)
            supervisor.run()
        jobs = [order[1:] for order in hall.log if order[0] == "do"]
        assert sum(index < 2 for _, index in jobs) == 6  # clean images are judged in every part
        attacks += [order for order in jobs if order[1] >= 2]
        assert summary.status == "part"
    assert sorted(attacks) == [(shard, index) for shard in range(3) for index in range(2, 7)]


def test_a_part_in_which_jobs_failed_is_a_part(hire, tmp_path):
    # Were it said to be at its end, its list would hide what another part has left in the same folder.
    with joined(tmp_path) as leases:
        processes = Processes(part=(1, 2))
        supervisor, _, summary = hire(
            leases, processes=processes, pieces=1, clean=1, attacks=0, deaths=[True] * 2
        )
        supervisor.run()
    assert (summary.status, summary.failures) == ("part", 1)
    assert summary.outcome(seconds=0.0, judging=0.0).failed == 1


def test_an_account_says_why_and_how_often(hire, tmp_path):
    with joined(tmp_path) as leases:
        supervisor, hall, _ = hire(leases, pieces=1, clean=1, attacks=0, deaths=[True, True])
        supervisor.run()
    account = json.loads(hall.store.error("s0j0").read_text())
    assert len(account.pop("plan")) == 32
    assert account == {"job": "job 0 of 0", "error": "its process was killed by SIGSEGV", "kills": 2}
