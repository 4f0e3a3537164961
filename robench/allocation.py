"""Keep freed memory in the process instead of handing it back after every step. No torch here."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h> of the GNU C library.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Tell the C library to reuse freed memory; return whether it listened.

    By default glibc maps every tensor above 128 KiB afresh and unmaps it when it is freed, so each step of an
    attack pays for page faults again: about a third of the time of a small network on a CPU. This concerns
    the whole process, so only the command line and the benchmarks call it, never the library. The peak is
    that of the largest moment, as before. Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    settings = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 64 << 20}
    listened = [mallopt(name, value) == 1 for name, value in settings.items()]  # every one is asked
    return all(listened)
