"""The machine a number is made on: versions, devices, and memory that is kept. No torch at import."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from typing import TypedDict

from robench.errors import DeviceError

PACKAGES = (
    "robench",
    "torch",
    "torchvision",
    "adversarial-robustness-toolbox",
    "torchattacks",
    "faiss-gpu",
    "numpy",
    "scipy",
    "pandas",
)

WAITING_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Environment of our processes, where the user's says nothing else: threads of torch that wait for each
other sleep instead of spinning. Where cores are shared, most of the time of a small network goes into that.
It is read when torch is loaded, and no number depends on it."""

# <malloc.h> of the GNU C library.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


@cache
def versions() -> dict[str, str]:
    """Return the installed version of every package that can change a number, `absent` where missing."""
    from importlib.metadata import PackageNotFoundError, version  # slow to load, and `--help` loads this file

    numbers = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            numbers[package] = "absent"
    return numbers


class Hardware(TypedDict, total=False):
    """The kind of a machine; `gpu` only where the device is one."""

    device: str
    machine: str
    cores: int | None
    threads: int
    gpu: str


class MadeWith(Hardware, total=False):
    """What numbers are made with: the versions of packages, and the kind of the machine."""

    versions: dict[str, str]


def hardware(device: str) -> Hardware:
    """Return the machine's kind: nothing that names the machine or its user."""
    import torch

    facts: Hardware = {
        "device": device,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def resolve_device(wanted: str) -> str:
    """Return the device to use for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: it does not exist here; says what does.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    kind, _, index = wanted.partition(":")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and (not index or index.isdigit()) and int(index or 0) < count:
        return wanted
    here = ", ".join(["cpu", *(f"cuda:{i}" for i in range(count))])
    raise DeviceError(
        where="--device",
        expected="a device of this machine",
        got=repr(wanted),
        do=f"Choose one of: auto, {here}",
    )


def keep_freed_memory() -> bool:
    """Tell the C library to reuse freed memory; return whether it listened.

    By default glibc maps every tensor above 128 KiB afresh and unmaps it when it is freed, so each step of an
    attack pays for page faults again: about a third of the time of a small network on a CPU. This concerns
    the whole process, so only the command line and the benchmarks call it, never the library. The peak is
    that of the largest moment, as before. Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    settings = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 64 << 20}
    # A list, so that every call is made, also after one has failed.
    answers = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(answers)
