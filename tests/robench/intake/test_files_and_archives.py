import io
import os
import zipfile

import pytest

from robench.errors import CheckpointError, InputError, StorageError
from robench.intake.archives import check_expansion, open_archive, read_member
from robench.intake.limits import Limit, size_text
from robench.intake.memory_limit import memory
from robench.intake.regular_file import open_regular, read_regular

TEN = Limit(what="a thing", most=10)


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_what_fits_is_read_whole(tmp_path, size):
    (tmp_path / "f").write_bytes(os.urandom(size))
    assert read_regular(tmp_path / "f", TEN) == (tmp_path / "f").read_bytes()


def test_one_byte_more_is_refused_by_the_error_that_is_asked_for(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 11)
    for error in (InputError, CheckpointError, StorageError):
        with pytest.raises(error, match=r"a thing of at most 10 bytes, got 11 bytes"):
            read_regular(tmp_path / "f", TEN, error=error)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_a_file_that_says_it_has_no_bytes_is_limited_too(tmp_path):
    from pathlib import Path

    assert os.stat("/proc/self/status").st_size == 0
    assert read_regular(Path("/proc/self/status"), Limit(what="a", most=100_000)).startswith(b"Name:")
    with pytest.raises(InputError, match="at most 10 bytes"):
        read_regular(Path("/proc/self/status"), TEN)


@pytest.mark.parametrize("name", ["absent", "a\0b", "x" * 300])
def test_what_cannot_be_opened_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="a readable file"), open_regular(tmp_path / name, TEN):
        pass


@pytest.mark.parametrize(
    ("packed", "unpacked", "fits"),
    [
        (1, 64 << 20, True),
        (1, (64 << 20) + 1, False),
        (1 << 20, 250 << 20, True),
        (1 << 20, (250 << 20) + 1, False),
    ],
)
def test_a_multiple_counts_only_above_a_floor(packed, unpacked, fits):
    if fits:
        check_expansion(packed, unpacked, where="x")
    else:
        with pytest.raises(InputError, match="ROBENCH_MAX_EXPANSION"):
            check_expansion(packed, unpacked, where="x")


def test_a_member_is_read_up_to_its_limit():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"x" * 10)
        archive.writestr("b", b"x" * 11)
    with open_archive(stream, where="f.zip") as archive:
        assert read_member(archive, archive.getinfo("a"), where="f.zip", limit=TEN) == b"x" * 10
        with pytest.raises(InputError, match=r"f\.zip:b.*at most 10 bytes"):
            read_member(archive, archive.getinfo("b"), where="f.zip", limit=TEN)
    with pytest.raises(zipfile.BadZipFile):
        open_archive(io.BytesIO(b"x"), where="x")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1 << 10, "1 KiB"), (3 << 19, "1.5 MiB"), (1 << 40, "1024 GiB")],
)
def test_sizes_are_told_in_the_largest_unit(count, text):
    assert size_text(count) == text


def test_what_is_larger_than_the_memory_is_refused_unread(tmp_path, monkeypatch):
    with (tmp_path / "f").open("wb") as file:
        file.truncate(1 << 20)
    large = Limit(what="a thing", most=1 << 40)
    monkeypatch.setattr("robench.intake.memory_limit.memory", lambda: 1 << 20)
    assert len(read_regular(tmp_path / "f", large)) == 1 << 20
    monkeypatch.setattr("robench.intake.memory_limit.memory", lambda: (1 << 20) - 1)
    with pytest.raises(InputError, match=r"memory of this machine, 1023 KiB, got 1 MiB"):
        read_regular(tmp_path / "f", large)
    monkeypatch.setattr("robench.intake.memory_limit.memory", lambda: None)
    assert len(read_regular(tmp_path / "f", large)) == 1 << 20


def test_the_memory_of_this_machine_is_known_and_a_container_may_have_less(tmp_path, monkeypatch):
    whole = memory()
    assert whole is None or whole > 1 << 28
    monkeypatch.setattr("robench.intake.memory_limit._CONTAINER", tmp_path / "memory.max")
    machine = memory()  # no such file: the machine alone
    for text, most in (("12345\n", 12345), ("max\n", machine), ("", machine)):
        (tmp_path / "memory.max").write_text(text)
        assert memory() == most
