"""A file that cannot fit into the memory of this machine is refused before it is read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from robench.errors import InputError, RobenchError
from robench.intake.limits import size_text

_CONTAINER = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much a container may use."""


def memory() -> int | None:
    """Return how many bytes of memory the machine has, or its container may use; None if unknown."""
    sizes = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not a POSIX system
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    try:
        text = _CONTAINER.read_text("ascii").strip()
    except (OSError, ValueError):
        text = "max"
    sizes += [int(text)] if text.isdigit() else []
    return min((size for size in sizes if size > 0), default=None)


def check_memory(size: int, *, where: str, error: type[RobenchError] = InputError) -> None:
    """Refuse data larger than the whole memory.

    Raises:
        RobenchError: of the kind `error`; says how much memory there is.
    """
    most = memory()
    if most is not None and size > most:
        raise error(
            where=where,
            expected=f"what fits into the memory of this machine, {size_text(most)}",
            got=size_text(size),
            do="Use a machine with more memory, or a smaller file",
        )
