"""How much memory a process uses, and how much the machine has left, in bytes. No torch here."""

from __future__ import annotations

import re
from pathlib import Path

LEAST_SHARE = 0.03
"""Share of the machine's memory that must stay free."""

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def memory_of(pid: int) -> int:
    """Return the memory a process takes; 0 where that cannot be known."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return 0
    return _entry(text, "VmRSS")


def shortage() -> str:
    """Return a sentence if the machine, or the control group of this process, is nearly out of memory.

    Empty if it is not, or if that is unknown.
    """
    try:
        text = _MEMINFO.read_text("utf-8")
    except OSError:
        return ""
    free, total = _entry(text, "MemAvailable"), _entry(text, "MemTotal")
    if (rest := _left_in_group()) is not None:
        free, total = min((free, total), rest, key=lambda pair: pair[0] / max(pair[1], 1))
    if total and free < LEAST_SHARE * total:
        return f"the machine had {free / 2**20:.0f} of {total / 2**20:.0f} MiB left"
    return ""


def _left_in_group() -> tuple[int, int] | None:
    """Return free and allowed bytes of the control group; None if there is no limit."""
    try:
        limit = (_GROUP / "memory.max").read_text("utf-8").strip()
        usage = int((_GROUP / "memory.current").read_text("utf-8"))
        cache = re.search(r"^inactive_file (\d+)$", (_GROUP / "memory.stat").read_text("utf-8"), re.MULTILINE)
    except (OSError, ValueError):
        return None
    if not limit.isdigit():
        return None
    return int(limit) - usage + (int(cache[1]) if cache else 0), int(limit)


def _entry(text: str, name: str) -> int:
    """Return an entry of /proc in bytes, such as `VmRSS:  1234 kB`; 0 if it is missing."""
    match = re.search(rf"^{name}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
