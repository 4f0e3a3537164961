"""A sign of life of a unit that takes long: how long it has been at work, and how many passes it made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from robench.run.progress import Reporter

EVERY = 2.0
"""Seconds between two signs; whoever shows them may show fewer."""


@dataclass(slots=True)
class Heartbeat:
    """Counts the passes of the unit in work, and tells of them now and then.

    Args:
        reporter: who is told.
        clock: seconds, from any start.
    """

    reporter: Reporter
    clock: Callable[[], float] = time.monotonic
    _title: str = ""
    _began: float = 0.0
    _spoke: float = 0.0
    _passes: int = field(default=0)

    def begin(self, title: str) -> None:
        """Tell which unit is worked on from now."""
        self._title, self._passes = title, 0
        self._began = self._spoke = self.clock()
        self.reporter.begin(title)

    def on_passes(self, count: int) -> None:
        """Note that so many more passes were made, each on one image."""
        self._passes += count
        now = self.clock()
        if now - self._spoke >= EVERY:
            self._spoke = now
            self.reporter.alive(self._title, now - self._began, self._passes)
