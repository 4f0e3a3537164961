"""What came of jobs: each unit is counted once, each failure written down with whose row lacks it."""

from pathlib import Path

import pytest

from robench.plan.config import parse
from robench.record.journal import write_journal
from robench.record.schema import Columns
from robench.record.store import Store
from robench.run.outcome import Summary
from robench.run.progress import Quiet
from robench.run.workers.accounts import Accounts
from robench.run.workers.job_queue import Task
from robench.run.workers.worker_messages import JobNote
from tests.records import record_of

PLAN = """
schema: 1
name: few
dataset: {name: digits, limit: 2}
models: [{name: net, architecture: small_cnn}]
"""


class Told(Quiet):
    def __init__(self):
        self.advances, self.failures = [], []

    def advance(self, text, *, cached=False, accuracy=None):
        self.advances.append((text, cached, accuracy is not None))

    def failed(self, text):
        self.failures.append(text)


def record(key):
    numbers = {name: [0.0] for name in ("linf", "l2", "forwards", "backwards")}
    columns = Columns(
        index=[0], label=[1], clean=[1], adversarial=[1], status=["robust"], first_success=[0], **numbers
    )
    return record_of(
        key=key, target={"name": "net"}, source={"name": "net"}, attack={"label": key}, seed=0,
        threat={"norm": "Linf"}, dataset={"name": "d", "split": "test"}, columns=columns, provenance={},
    )  # fmt: skip


@pytest.fixture
def books(tmp_path):
    write_journal(tmp_path, "digest of the plan", [])
    return Accounts(
        summary=Summary(plan=parse(PLAN, file=Path("few.yaml")), command="robench run few"),
        store=Store(tmp_path),
        reporter=Told(),
    )


def task(units=2, kills=0):
    note = JobNote(name="j1", title="PGD on net", model="net", clean=False, units=units, seconds=1.0)
    return Task(shard=0, index=0, note=note, kills=kills)


def test_a_unit_is_counted_once_however_often_its_job_is_tried(books):
    books.store.write(record("a" * 32))
    job = task()
    for _ in range(2):
        books.unit(job, "a" * 32, "PGD on net", from_store=False)
    assert job.keys == {"a" * 32}
    assert list(books.summary.units) == ["a" * 32]
    assert books.reporter.advances == [("PGD on net", False, True)]


def test_a_failed_job_is_written_down_and_all_its_open_units_are_told(books):
    books.store.write(record("a" * 32))
    job = task(units=3, kills=2)
    books.unit(job, "a" * 32, "PGD on net", from_store=True)
    books.failed(job, "it took more than 100 s")
    assert books.summary.failures == 1
    assert books.summary.failed_jobs == {"net": ["PGD on net"]}
    assert books.store.read_error("j1") == {
        "job": "PGD on net", "error": "it took more than 100 s", "kills": 2,
    }  # fmt: skip
    assert books.reporter.failures == ["PGD on net: it took more than 100 s"]
    assert books.reporter.advances == [
        ("PGD on net", True, True), *[("PGD on net: failed", False, False)] * 2,
    ]  # fmt: skip


def test_an_account_that_is_there_is_not_written_again(books):
    books.failed(task(), "an error in a worker", is_written=True)
    assert books.summary.failures == 1
    assert not books.store.read_error("j1")


def test_failures_of_several_models_are_noted_in_the_rows_that_lack_them(books):
    books.failed_units({"net": ["PGD on net"], "other": ["PGD on net", "FGSM on net"]}, 2)
    books.failed_units({"net": ["FGSM on net"]}, 1)
    assert books.summary.failures == 3
    assert books.summary.failed_jobs["net"] == ["PGD on net", "FGSM on net"]
    assert books.summary.failed_jobs["other"] == ["PGD on net", "FGSM on net"]
