"""Which process took a lease, and whether it still runs on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path
from typing import TypedDict


class Holder(TypedDict):
    """What tells a process from any other: its machine, its number there, and when it was started."""

    machine: str
    pid: int
    since: str


class Lease(TypedDict, total=False):
    """What a lease says. What is read may hold anything under these names.

    Attributes:
        machine: of its holder; `pid` and `since` tell which process there.
        plan: hash of what its holder does, where it takes part in a run folder.
        alone: whether nobody else may take part then.
    """

    machine: object
    pid: object
    since: object
    plan: object
    alone: object


@cache
def machine() -> str:
    """Return an identifier of this machine since its last start; a container numbers its own processes."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.insert(0, Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def this_process() -> Holder:
    """Return what tells this process from any other, on this machine or elsewhere."""
    return {"machine": machine(), "pid": os.getpid(), "since": _birth(os.getpid())}


def _birth(pid: int) -> str:
    """Return when a process started, in ticks of the machine; empty if unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_here(lease: Lease) -> bool:
    """Tell whether the process that took a lease runs on this machine.

    Args:
        lease: what it says.
    """
    pid = lease.get("pid")
    if lease.get("machine") != machine() or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return _birth(pid) == lease.get("since")
