"""Commands that make many objects and end: the search for garbage would walk through all of them again."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Leave out the search for cycles of garbage; also a decorator. What nothing refers to goes as always."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
