"""Memory of a process and of the machine, as Linux tells them."""

import os

import pytest

from robench.run.workers import process_memory


def test_a_process_takes_memory_and_none_takes_nothing():
    assert 2**20 < process_memory.memory_of(os.getpid()) < 2**40
    assert process_memory.memory_of(2**22 + 1) == 0


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return what sets the memory of a machine and of its control group, in bytes."""
    monkeypatch.setattr(process_memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(process_memory, "_GROUP", tmp_path)

    def put(free, total, *, limit=None, usage=0, cache=0):
        (tmp_path / "meminfo").write_text(f"MemTotal: {total // 1024} kB\nMemAvailable: {free // 1024} kB\n")
        if limit is not None:
            (tmp_path / "memory.max").write_text(f"{limit}\n")
            (tmp_path / "memory.current").write_text(f"{usage}\n")
            (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")

    return put


GIB = 2**30


@pytest.mark.parametrize(
    ("free", "group", "short"),
    [
        (GIB, {}, False),
        (GIB // 100, {}, True),
        (GIB, {"limit": "max"}, False),
        (GIB, {"limit": 10 * GIB, "usage": 5 * GIB}, False),
        (GIB, {"limit": 10 * GIB, "usage": 9.9 * GIB}, True),
        (GIB, {"limit": 10 * GIB, "usage": 9.9 * GIB, "cache": 5 * GIB}, False),  # the kernel can drop it
    ],
)
def test_less_than_three_percent_is_short(machine, free, group, short):
    machine(free, 10 * GIB, **{name: int(v) if v != "max" else v for name, v in group.items()})
    assert bool(process_memory.shortage()) is short


def test_where_nothing_is_known_nothing_is_short(monkeypatch, tmp_path):
    monkeypatch.setattr(process_memory, "_MEMINFO", tmp_path / "none")
    assert process_memory.shortage() == ""
