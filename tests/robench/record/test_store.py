import errno
import json
import os
import subprocess
import sys
import time

import pytest

from robench.errors import StorageError
from robench.record import files
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
    made = Store(tmp_path / "run")
    made.prepare()
    return made


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
    with pytest.raises(StorageError, match="No space left") as caught:
        store.write(record(name="b"), replace=True)
    assert caught.value.exit_code == 4
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
    written = list(tmp_path.glob("*.json"))
    assert len(written) == 7
    for path in written:
        assert len(json.loads(path.read_text())) == 20001
