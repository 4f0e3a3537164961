import dataclasses
import errno
import json
import os
import subprocess
import sys
import time

import pytest

from robench.errors import StorageError
from robench.record import files
from robench.record.columns import column_cache
from robench.record.files import sweep, write_atomic
from robench.record.schema import Columns
from robench.record.store import Store, is_run
from tests.records import record_of


def record(key="k1", name="a"):
    columns = Columns(
        index=[0], label=[1], clean=[1], adversarial=[2], status=["broken"], linf=[0.1], l2=[0.2],
        forwards=[3.0], backwards=[2.0], first_success=[1],
    )  # fmt: skip
    return record_of(
        key=key, target={"name": name}, source={"name": name}, attack={"label": "pgd"}, threat={},
        dataset={"name": "toy", "split": "test"},
        seed=0, columns=columns, provenance={},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    folder = Store(tmp_path / "run")
    folder.prepare()
    return folder


def test_what_is_written_is_read(store):
    assert not store.has("k1")
    store.write(record())
    assert store.has("k1")
    assert store.read("k1") == record()
    assert store.keys() == ["k1"]
    assert store.read_records() == [record()]
    assert is_run(store.root)
    assert not is_run(store.root / "units")


def test_only_the_last_plan_is_shown(store):
    for key in ("k1", "k2", "k3"):
        store.write(record(key))
    assert [r.key for r in store.read_records()] == ["k1", "k2", "k3"]
    store.write_json("run.json", {"units": ["k3", "k1"]})
    assert [r.key for r in store.read_records()] == ["k3", "k1"]
    assert [r.key for r in store.read_records(["k2"])] == ["k2"]


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", record("k2").to_json(), record().to_json()[:99]])
def test_half_written_and_foreign_files_are_missing_for_a_run_and_named_for_a_reader(store, text):
    store.unit("k1").write_text(text)
    assert not store.has("k1")
    with pytest.raises(StorageError, match=r"units/k1\.json"):
        store.read_records()
    store.write(record())
    assert store.has("k1")


def test_columns_of_unequal_length_are_refused(store):
    data = json.loads(record().to_json())
    data["columns"]["l2"] = []
    store.unit("k1").write_text(json.dumps(data))
    with pytest.raises(StorageError, match=r"1 entries in the field `columns\.l2`"):
        store.read("k1")


def test_a_key_cannot_be_a_path(store):
    for key in ("../x", "", "a/b", "a\0", ".x", "x" * 200):
        with pytest.raises(StorageError):
            store.unit(key)


def test_a_failure_is_kept_until_the_unit_is_finished(store):
    store.write_error("k1", {"error": "boom"})
    assert store.read_errors() == {"k1": {"error": "boom"}}
    store.write(record())
    assert store.read_errors() == {}
    store.error("k2").write_text("{")
    assert store.read_errors()["k2"]["error"] == "unreadable account"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_is_a_storage_error_and_the_old_file_is_intact(store, monkeypatch, step):
    store.write(record())
    before = store.unit("k1").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(StorageError, match="No space left") as error:
        store.write(record(name="b"), replace=True)
    assert error.value.exit_code == 4
    assert store.unit("k1").read_bytes() == before
    assert [p.name for p in (store.root / "units").iterdir()] == ["k1.json"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Store(tmp_path / "file" / "run").prepare()
    with pytest.raises(StorageError):
        write_atomic(tmp_path / "file" / "x", "")


def test_old_leftovers_are_swept_and_young_ones_kept(store):
    units = store.root / "units"
    old, young = units / ".a.0.robench-tmp", units / ".b.0.robench-tmp"
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert store.keys() == []
    assert sweep(units) == 1
    assert not old.exists()
    assert young.exists()


@pytest.mark.thorough
def test_kill_minus_nine_leaves_no_torn_file(tmp_path):
    code = (
        "import sys, itertools; from pathlib import Path; from robench.record.files import write_atomic\n"
        "folder = Path(sys.argv[1])\n"
        "for i in itertools.count():\n"
        "    write_atomic(folder / f'{i % 7}.json', '[' + '1,' * 20000 + '1]'); print(i, flush=True)\n"
    )
    for round_ in range(8):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        for count in range(5 * round_ + 1):  # then somewhere in the middle of a later one
            assert writer.stdout.readline() == b"%d\n" % count
        writer.kill()
        writer.wait()
        writer.stdout.close()
    files = list(tmp_path.glob("*.json"))
    assert len(files) == 7
    for path in files:
        assert len(json.loads(path.read_text())) == 20001


def larger(key, images=40):
    """Return a record whose columns differ from image to image and from key to key."""
    import numpy as np

    chance = np.random.default_rng([ord(sign) for sign in key])
    columns = Columns(
        index=list(range(images)), label=[1] * images, clean=[1] * images, adversarial=[2] * images,
        status=["broken", "robust"] * (images // 2), linf=chance.random(images).tolist(),
        l2=chance.random(images).tolist(), forwards=chance.integers(1, 99, images).astype(float).tolist(),
        backwards=chance.random(images).tolist(), first_success=[1] * images,
    )  # fmt: skip
    return dataclasses.replace(record(key), columns=columns)


def test_columns_left_in_the_file_are_read_again_once_for_many_questions(store, monkeypatch):
    for key in ("k1", "k2"):
        store.write(larger(key))
    first, second = store.read_records()
    reads = []
    real = Store.read
    monkeypatch.setattr(Store, "read", lambda self, key: reads.append(key) or real(self, key))
    for _ in range(3):
        for one in (first, second):
            assert one.columns.array("l2").tolist() == larger(one.key).columns.l2
            assert one.columns.array("linf").tolist() == larger(one.key).columns.linf
    assert reads == ["k1", "k2"]


def test_of_what_was_read_last_no_more_is_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(column_cache, "MOST_IMAGES", 100)
    recent = column_cache.RecentColumns()
    columns = {key: larger(key).columns for key in ("a", "b", "c")}
    recent.keep("a", columns["a"])
    recent.keep("b", columns["b"])
    assert recent.of("a") is columns["a"]  # asked for last, so b goes first
    recent.keep("c", columns["c"])
    assert [recent.of(key) is not None for key in "abc"] == [True, False, True]
    recent.keep("huge", larger("huge", images=102).columns)
    assert [recent.of(key) for key in (*"abc", "huge")] == [None] * 4


def test_a_record_that_was_replaced_is_not_taken_for_the_one_that_was_read_last(store):
    store.write(larger("k1"))
    (before,) = store.read_records()
    assert before.columns.array("l2").tolist() == larger("k1").columns.l2
    other = dataclasses.replace(larger("k2"), key="k1")  # with the same statuses
    Store(store.root).write(other, replace=True)
    (after,) = store.read_records()
    assert after.columns.array("l2").tolist() == other.columns.l2
    store.write(larger("k1"), replace=True)
    assert after.columns.array("l2").tolist() == larger("k1").columns.l2
    columns = dataclasses.replace(other.columns, status=["broken"] * len(other.columns))
    store.write(dataclasses.replace(other, columns=columns), replace=True)
    with pytest.raises(StorageError, match="another one, written since then"):
        after.columns.array("l2")


def test_columns_that_are_kept_are_compared_too(store):
    store.write(larger("k1"))
    (before,) = store.read_records()
    columns = larger("k1").columns
    variant = dataclasses.replace(columns, status=["broken"] * len(columns))
    Store(store.root).write(dataclasses.replace(larger("k1"), columns=variant), replace=True)
    (after,) = store.read_records()
    assert after.columns.array("l2").tolist() == columns.l2  # now they are kept
    with pytest.raises(StorageError, match="another one, written since then"):
        before.columns.array("l2")


def test_sums_of_passes_are_known_without_the_file(store):
    store.write(larger("k1"))
    (one,) = store.read_records()
    store.unit("k1").unlink()
    columns = larger("k1").columns
    assert one.columns.total("forwards") == sum(columns.forwards)
    assert one.columns.total("backwards") == pytest.approx(sum(columns.backwards), rel=1e-12)
    assert columns.total("l2") == pytest.approx(sum(columns.l2), rel=1e-12)
    with pytest.raises(StorageError):
        one.columns.total("l2")


def test_columns_in_files_are_compared_as_those_of_lists_are(store):
    from robench.record.schema import Record

    same, other = larger("k1"), dataclasses.replace(larger("k2"), key="k1")
    from_file = {
        name: Record.from_json(one.to_json()).columns for name, one in (("same", same), ("other", other))
    }
    assert from_file["same"] == from_file["same"] == same.columns == Record.from_json(same.to_json()).columns
    assert from_file["same"] != from_file["other"]
    assert from_file["same"] != other.columns
    assert from_file["same"] != "columns"
    for name in ("status", "forwards", "first_try"):
        values = getattr(same.columns, name)
        variant = [*values[:-1], "failed" if name == "status" else values[-1] + 1]
        data = dataclasses.replace(same, columns=dataclasses.replace(same.columns, **{name: variant}))
        assert Record.from_json(data.to_json()).columns != from_file["same"]
