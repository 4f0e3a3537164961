"""Every bit and every end of a file that was written with a checksum; files of earlier versions."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load, save

from robench.errors import StorageError
from robench.record.feature_snapshot import FeatureSnapshot, read_snapshot, write_snapshot
from robench.record.files import read_regular
from robench.record.schema import Record
from robench.record.seal import (
    check_tensors,
    check_text,
    is_cut,
    sealed_tensors,
    sealed_text,
    unsealed_notes,
)
from robench.record.store import Store
from tests.robench.record.test_store import record


@pytest.fixture
def store(tmp_path):
    folder = Store(tmp_path / "run")
    folder.prepare()
    return folder


EVERY = [pytest.param(1, marks=pytest.mark.slow), 23]
"""Turn each bit, or one of so many."""


def flipped(content, step):
    """Yield the content with one of its bits turned: each of them, or one of `step`."""
    for at in range(0, 8 * len(content), step):
        other = bytearray(content)
        other[at // 8] ^= 1 << at % 8
        yield at, bytes(other)


def refusal(reader):
    """Return what a reader says against a file, nothing if it reads it."""
    try:
        reader()
    except (StorageError, SafetensorError) as error:
        return str(error)
    return ""


def test_the_digest_is_that_of_the_text_before_it():
    text = sealed_text('{"a": 1}')
    assert json.loads(text) == {"a": 1, "sha256": hashlib.sha256(b'{"a": 1').hexdigest()}
    assert check_text(text, where="f")
    assert check_text(text + "\n", where="f")
    assert not check_text('{"a": 1}', where="f")


@pytest.mark.parametrize("step", EVERY)
def test_every_flipped_bit_of_a_record_is_noticed(store, step):
    store.write(record())
    path = store.unit("k1")
    content = path.read_bytes()
    for at, other in flipped(content, step):
        path.write_bytes(other)
        assert "units/k1.json" in refusal(lambda: store.read("k1")), f"bit {at} of {8 * len(content)}"


def test_every_lost_end_of_a_record_is_noticed(store):
    store.write(record())
    path = store.unit("k1")
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        assert "units/k1.json" in refusal(lambda: store.read("k1")), f"{end} of {len(content)} bytes"
    path.write_bytes(content)
    assert store.read("k1") == record()


def test_a_record_of_an_earlier_version_is_read(store):
    store.unit("k1").write_text(record().to_json() + "\n")
    assert store.read("k1") == record()


def test_a_record_edited_by_hand_is_refused_unless_its_checksum_is_taken_out():
    data = json.loads(sealed_text(record().to_json()))
    data["columns"]["status"] = ["robust"]
    with pytest.raises(StorageError, match="checksum"):
        Record.from_json(json.dumps(data))
    with pytest.raises(StorageError):
        Record.from_json(json.dumps(data, indent=1))
    del data["sha256"]
    assert Record.from_json(json.dumps(data)).columns.status == ["robust"]


def tensors():
    return {"x_adv": np.linspace(0, 1, 24, dtype="float32").reshape(2, 3, 2, 2), "forwards": np.arange(2)}


@pytest.mark.parametrize("step", EVERY)
def test_every_flipped_bit_and_lost_end_of_a_file_of_tensors_is_noticed(tmp_path, step):
    path = tmp_path / "t.safetensors"
    content = sealed_tensors(save(tensors(), unsealed_notes({"seconds": "1.5"})))
    path.write_bytes(content)
    assert check_tensors(path, notes=("seconds",))
    assert (load(content)["x_adv"] == tensors()["x_adv"]).all()
    others = [other for _, other in flipped(content, step)] + [
        content[:end] for end in range(0, len(content), step)
    ]
    for other in others:
        path.write_bytes(other)
        # What has lost all traces of a checksum is no file of tensors any more.
        message = refusal(lambda: check_tensors(path, notes=("seconds",)))
        assert message or refusal(lambda other=other: load(other)), repr(other[:200])


def test_the_same_tensors_give_the_same_bytes():
    notes = {"seconds": "1.5", "engine": "folded \u00e9", "not_used": "{}"}
    contents = {sealed_tensors(save(tensors(), unsealed_notes(notes))) for _ in range(20)}
    assert len(contents) == 1
    assert (load(contents.pop())["forwards"] == tensors()["forwards"]).all()


@pytest.mark.parametrize("note", ["", "a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg"])
def test_numbers_begin_at_a_multiple_of_eight_bytes(note):
    content = sealed_tensors(save(tensors(), unsealed_notes({"note": note})))
    assert int.from_bytes(content[:8], "little") % 8 == 0
    assert (load(content)["forwards"] == tensors()["forwards"]).all()


def test_files_of_tensors_of_an_earlier_version_are_read(tmp_path):
    path = tmp_path / "t.safetensors"
    for notes in (None, {"seconds": "1.5"}):
        path.write_bytes(save(tensors(), notes))
        assert check_tensors(path, notes=("seconds",))
    with pytest.raises(StorageError, match="checksum"):
        check_tensors(path)  # `seconds` is none of its notes: a name that was damaged
    assert not check_tensors(tmp_path / "absent")


@pytest.mark.parametrize("step", EVERY)
def test_every_flipped_bit_of_kept_features_is_noticed(tmp_path, step):
    path = tmp_path / "g.safetensors"
    write_snapshot(path, FeatureSnapshot(units=("k1",), reason="none"))
    for _, other in flipped(path.read_bytes(), step):
        path.write_bytes(other)
        assert "g.safetensors" in refusal(lambda: read_snapshot(path))


def test_a_file_longer_than_a_piece_is_checked_to_its_end(tmp_path):
    path = tmp_path / "t.safetensors"
    content = sealed_tensors(save({"x_adv": np.zeros(3 * 2**20, dtype="uint8")}, unsealed_notes()))
    path.write_bytes(content)
    assert check_tensors(path)
    for at in (2**20, 2**20 + 1000, 2**21, 3 * 2**20, len(content) - 1):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(StorageError, match="checksum"):
            check_tensors(path)


def test_a_file_of_tensors_has_at_most_so_many_bytes(tmp_path):
    path = tmp_path / "t.safetensors"
    content = sealed_tensors(save(tensors(), unsealed_notes()))
    path.write_bytes(content)
    assert check_tensors(path, most=len(content))
    with pytest.raises(StorageError, match=f"at most {len(content) - 1} bytes"):
        check_tensors(path, most=len(content) - 1)


def test_a_file_without_a_place_for_its_digest_is_not_sealed():
    with pytest.raises(ValueError, match="without a place"):
        sealed_tensors(save(tensors(), {"seconds": "1"}))


def test_a_header_that_is_longer_than_the_format_allows_is_not_read(tmp_path):
    path = tmp_path / "t.safetensors"
    for size in (100_000_001, 2**40, 2**63):
        path.write_bytes(size.to_bytes(8, "little") + b"{}")
        with pytest.raises(StorageError, match="checksum, or none"):
            check_tensors(path)


@pytest.mark.parametrize(
    "header", [b"[]", b"3", b'{"__metadata__": 3}', b'{"__metadata__": [1]}', b"{", b"[" * 90_000, b"\xff"]
)
def test_a_header_that_is_none_is_damaged(tmp_path, header):
    path = tmp_path / "t.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(StorageError, match="checksum, or none"):
        check_tensors(path)


def test_a_digest_of_another_length_is_none(tmp_path):
    path = tmp_path / "t.safetensors"
    for digest in ("", "0" * 63, "0" * 65, "\u00e9" * 64):
        path.write_bytes(save(tensors(), {"sha256": digest}))
        with pytest.raises(StorageError, match="checksum, or none"):
            check_tensors(path)


def test_a_cut_is_a_lost_line_break_after_a_checksum():
    text = sealed_text('{"a": 1}')
    assert is_cut(text)
    assert not is_cut(text + "\n")
    assert not is_cut('{"a": 1}')
    assert not is_cut(text + "\n\n")


def test_a_digest_in_the_middle_of_a_text_is_no_seal():
    inside = sealed_text('{"a": 1}')
    text = '{"b": ' + inside + "}"
    assert not check_text(text, where="f")
    outer = sealed_text(text)
    assert check_text(outer, where="f")
    with pytest.raises(StorageError, match=r"^f: "):
        check_text(outer.replace('"a": 1', '"a": 2'), where="f")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read: Linux")
def test_a_disk_that_cannot_be_read_is_named():
    with pytest.raises(StorageError, match="mem: expected a readable file of tensors, got Input"):
        check_tensors(Path("/proc/self/mem"))
    with pytest.raises(StorageError, match=f"mem: expected .* at most {2**40} bytes, got Input/output error"):
        read_regular(Path("/proc/self/mem"), most=2**40)
