"""How fast work goes, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Measures units and images finished now; what was finished before costs no time and is left out.

    Args:
        total: units in all.
        clock: seconds, from any start.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self.total = total
        self.count = self.units = self.images = 0

    def note(self, images: int, *, cached: bool) -> None:
        """Note one more unit, and whether it was finished before."""
        self.count += 1
        self.units += not cached
        self.images += 0 if cached else images

    def reach(self, count: int) -> None:
        """Note that so many units are done, all of them now."""
        self.count = self.units = count

    def text(self) -> str:
        """Return images per second and the time left, as far as anything is known."""
        passed = self._clock() - self._started
        if not self.units or passed <= 0:
            return ""
        parts = [f"{rate(self.images / passed)} images/s"] if self.images else []
        if left := self.total - self.count:
            parts.append(f"{span(left * passed / self.units)} left")
        return ", ".join(parts)


def rate(value: float) -> str:
    """Return a rate with three figures, or all of them before the point.

    Example:
        >>> rate(0.1234), rate(12.34), rate(28200.4)
        ('0.123', '12.3', '28200')
    """
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def span(seconds: float) -> str:
    """Return a length of time in words.

    Example:
        >>> span(3.21), span(62), span(7300)
        ('3.2 s', '1 min 2 s', '2 h 1 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
