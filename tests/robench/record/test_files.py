"""Files are whole or absent, and only regular ones of a size that can be meant are read."""

import errno
import json
import os
import socket
import stat
import time

import pytest

from robench.errors import StorageError
from robench.record import files
from robench.record.files import (
    copy_atomic,
    open_regular,
    other_place,
    read_json,
    read_regular,
    read_text,
    sweep,
    write_atomic,
    write_new,
)


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_there_alone(tmp_path):
    path = tmp_path / "deep" / "er" / "a.json"
    write_atomic(path, "é")
    assert path.read_bytes() == "é".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert listing(path.parent) == ["a.json"]


def test_a_lone_surrogate_of_a_name_can_be_written(tmp_path):
    write_atomic(tmp_path / "a", json.dumps("\ud800", ensure_ascii=False))
    assert read_json(tmp_path / "a") == "\ud800"


def test_of_two_writers_of_a_new_file_the_first_wins(tmp_path):
    path = tmp_path / "a"
    assert write_new(path, "first")
    assert not write_new(path, "second")
    assert path.read_text() == "first"
    assert listing(tmp_path) == ["a"]


@pytest.mark.parametrize("there", [False, True])
def test_without_links_a_new_file_is_written_all_the_same(tmp_path, monkeypatch, there):
    def none(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(files.os, "link", none)
    path = tmp_path / "a"
    if there:
        path.write_text("first")
    assert write_new(path, "second") is not there
    assert path.read_text() == ("first" if there else "second")
    assert listing(tmp_path) == ["a"]


def test_a_disk_that_refuses_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(StorageError, match=r"a: expected to write the file, got No space left") as error:
        write_atomic(tmp_path / "a", "x")
    assert "--out" in str(error.value)
    assert listing(tmp_path) == []
    with pytest.raises(StorageError):
        write_new(tmp_path / "a" / "b" / ("c" * 300), "a name that is too long")


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_is_whole_or_absent(tmp_path, monkeypatch, links):
    source, path = tmp_path / "source", tmp_path / "deep" / "copy"
    source.write_bytes(b"x" * 3_000_000)

    def none(*_):
        raise OSError(errno.EXDEV, "another disk")

    if not links:
        monkeypatch.setattr(files.os, "link", none)
    copy_atomic(source, path)
    assert path.read_bytes() == source.read_bytes()
    copy_atomic(source, path.with_name("another"))  # where the folder is there
    assert path.samefile(source) is path.with_name("another").samefile(source) is links
    assert listing(path.parent) == ["another", "copy"]


def test_a_copy_that_does_not_fit_leaves_nothing(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "link", full)
    monkeypatch.setattr(
        files.shutil, "copyfileobj", lambda original, write: write.write(original.read(5)) and full()
    )
    with pytest.raises(StorageError, match=r"copy: expected to write the file, got No space left"):
        copy_atomic(source, tmp_path / "copy")
    assert listing(tmp_path) == ["source"]
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.undo()
    monkeypatch.setattr(files.os, "link", full)
    with pytest.raises(StorageError, match="got a FIFO"):
        copy_atomic(tmp_path / "pipe", tmp_path / "copy")


def test_the_folder_is_written_through_too(tmp_path, monkeypatch):
    through = []
    fsync = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda handle: through.append(os.fstat(handle)) or fsync(handle))
    write_atomic(tmp_path / "a", "x")
    assert [stat.S_ISDIR(status.st_mode) for status in through] == [False, True]
    descriptors = os.listdir("/proc/self/fd")
    write_atomic(tmp_path / "a", "y")
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)  # nothing stays open


def test_a_file_has_at_most_so_many_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path, most=5) == b"12345"
    with pytest.raises(StorageError, match="at most 4 bytes, got 5 bytes"):
        read_regular(path, most=4)
    path.write_bytes(b"")
    assert read_regular(path, most=0) == b""


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end_or_refused(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    whole = os.fstat

    def small(handle):
        status = whole(handle)
        return os.stat_result((*status[:6], 3, *status[7:]))

    monkeypatch.setattr(files.os, "fstat", small)
    assert read_regular(path, most=10) == b"x" * 10
    monkeypatch.setattr(files.os, "stat", lambda path: small(os.open(path, os.O_RDONLY)))
    with pytest.raises(StorageError, match="at most 9 bytes, got more"):
        read_regular(path, most=9)


def test_a_file_that_is_exchanged_before_it_is_opened_is_looked_at_again(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    small = os.stat(path)
    path.write_bytes(b"x" * 11)
    monkeypatch.setattr(files.os, "stat", lambda _: small)
    with pytest.raises(StorageError, match="at most 10 bytes, got 11 bytes"), open_regular(path, most=10):
        pass


def test_what_is_not_there_is_none(tmp_path):
    assert read_regular(tmp_path / "a", most=1) is None
    assert read_text(tmp_path / "a") is None
    assert read_json(tmp_path / "a") is None
    with pytest.raises(FileNotFoundError), open_regular(tmp_path / "a", most=1):
        pass


def fifo(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def listening(path):
    here = os.getcwd()
    os.chdir(path.parent)  # a path in a temporary folder may be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(os.mkdir, "a folder"), (fifo, "a FIFO"), (device, "a device"), (listening, "a socket")],
)
def test_what_is_no_file_is_refused_at_once(tmp_path, make, kind):
    make(tmp_path / "a")
    with pytest.raises(StorageError, match=f"got {kind}"):
        read_regular(tmp_path / "a", most=100)
    with pytest.raises(StorageError, match=f"got {kind}"):
        read_json(tmp_path / "a")


def test_a_link_to_a_file_is_that_file(tmp_path):
    (tmp_path / "a").write_text("[1]")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_json(tmp_path / "b") == [1]
    (tmp_path / "c").symlink_to(tmp_path / "c")
    with pytest.raises(StorageError, match="symbolic links"):
        read_json(tmp_path / "c")


def test_a_name_with_a_nul_is_refused(tmp_path):
    with pytest.raises(StorageError, match="null"):
        read_regular(tmp_path / "a\0", most=1)


@pytest.mark.parametrize("text", [b"{", b"[" * 100_000, b"", b"nul"])
def test_what_is_no_json_is_named(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(StorageError, match=r"a\.json: expected readable JSON"):
        read_json(tmp_path / "a.json")


def test_what_is_no_text_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"ab\xff")
    with pytest.raises(StorageError, match=r"expected text in UTF-8, got .* position 2"):
        read_text(tmp_path / "a")
    with pytest.raises(StorageError, match="at most 2 bytes"):
        read_text(tmp_path / "a", most=2)
    with pytest.raises(StorageError, match="at most 2 bytes"):
        read_json(tmp_path / "a", most=2)


def test_only_leftovers_of_writers_are_swept_and_only_old_ones(tmp_path):
    for name, age in (("a", 3), ("b", 30), ("c", 30)):
        path = tmp_path / f".{name}.0.robench-tmp"
        path.write_text("")
        os.utime(path, (time.time() - 60 * age,) * 2)
    (tmp_path / "mine").write_text("")
    os.utime(tmp_path / "mine", (0, 0))
    assert sweep(tmp_path) == 0  # an hour
    assert sweep(tmp_path, older_than=60 * 10) == 2
    assert listing(tmp_path) == [".a.0.robench-tmp", "mine"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.ENOSPC, "Free some space"), (errno.ENOENT, "Choose a folder that can be made")],
)
def test_what_to_do_depends_on_what_the_disk_said(code, advice):
    assert other_place(OSError(code, "x")).startswith(advice)
