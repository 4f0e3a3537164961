"""For commands that make many objects and end: garbage collection would visit all of them repeatedly."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Switch off the search for reference cycles; also a decorator. Other objects are freed as usual."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
