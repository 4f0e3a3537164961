"""The speed of the work, and the estimated time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from robench.plurals import counted
from robench.run.time_estimate import Part

FEW = 4
"""Up to so many passes, the time of a job measures the constant cost of a job, not that of passes."""


@dataclass(slots=True)
class Progress:
    """The progress of a part of the work.

    Attributes:
        part: the part.
        units: finished units, including those of earlier calls.
        timed: units finished in this call.
        seconds: time of the units in `timed`.
    """

    part: Part
    units: int = 0
    timed: int = 0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Jobs that have not begun; for a running job only the verdicts are left, which cost little."""
        return self.part.jobs - math.ceil(self.units / self.part.units)

    @property
    def jobs(self) -> int:
        """Jobs with units finished in this call."""
        return math.ceil(self.timed / self.part.units)

    @property
    def each(self) -> float:
        """Seconds that one of them took."""
        return self.seconds / self.jobs if self.jobs else 0.0


class Pace:
    """Measures units and images finished in this call; earlier ones took no time and are left out.

    The time left is estimated per attack, from finished jobs of the same attack on the same model. For other
    jobs the number of passes is known approximately; the time of a pass with this attack, or with others of
    its library, and on this model, is taken from finished jobs. As long as no job with more than a few passes
    is finished, no time is shown.

    Args:
        total: number of all units.
        clock: seconds, from any start.
        parts: the workload; if it is unknown, all units count equally.
    """

    def __init__(
        self, total: int, clock: Callable[[], float] = time.monotonic, parts: Iterable[Part] = ()
    ) -> None:
        self._clock = clock
        self._started = self._last = clock()
        self._parts = {part.title: Progress(part) for part in parts}
        self.total = total
        self.count = self.units = self.images = 0
        self._before, self._told = "", False

    def resumed(self) -> str:
        """Return after which earlier unit the work continues; only at the first call, otherwise empty."""
        title, self._before = self._before, ""
        if not title or self.units:
            return ""
        return f"goes on after {title}: {self.count} of {counted(self.total, 'unit')} were there"

    def note(self, images: int, *, cached: bool, title: str = "") -> None:
        """Count one more unit, and whether it was finished before.

        Args:
            images: number of its images.
            cached: whether it was finished before.
            title: title of the unit in progress lines.
        """
        now = self._clock()
        self.count += 1
        self.units += not cached
        self.images += 0 if cached else images
        if (progress := self._parts.get(title.partition(" -> ")[0].removesuffix(": failed"))) is not None:
            progress.units += 1
            self._told = self._told or not cached
            progress.timed += not cached
            progress.seconds += 0.0 if cached else now - self._last
        self._last = now
        if cached:
            self._before = title

    def reach(self, count: int) -> None:
        """Count so many units, all finished in this call."""
        self.count = self.units = count

    def text(self) -> str:
        """Return images per second and the time left, as far as they are known."""
        duration = self._clock() - self._started
        if not self.units or duration <= 0:
            return ""
        parts = [f"{rate(self.images / duration)} images/s"] if self.images else []
        if rest := self.total - self.count:
            seconds, sure = self._left() if self._told else (rest * duration / self.units, True)
            if seconds is not None:
                parts.append(f"{'' if sure else 'about '}{span(seconds)} left")
        return ", ".join(parts)

    def _left(self) -> tuple[float | None, bool]:
        """Return the seconds left, None if not known yet; and whether all attacks were timed."""
        references = [one for one in self._parts.values() if one.timed]
        seconds, sure = 0.0, True
        for one in self._parts.values():
            if one.left > 0:
                each, is_known = (one.each, True) if one.timed else foreseen(one.part, references)
                if each is None:
                    return None, False
                seconds, sure = seconds + one.left * each, sure and is_known
        return seconds, sure


def foreseen(part: Part, timed: Sequence[Progress]) -> tuple[float | None, bool]:
    """Return the seconds that a job is expected to take, and whether its attack was timed on another model.

    It is the sum of the constant cost of a job and the cost of its passes.

    Args:
        part: the part of the job.
        timed: the parts with times.

    Returns:
        None for the seconds if only jobs with a few passes were timed.
    """
    few = [one for one in timed if one.part.passes <= FEW]
    always = min((one.each for one in few), default=0.0)
    if part.passes <= FEW and few:
        return sum(one.each for one in few) / len(few), True
    same = [one for one in timed if one.part.attack == part.attack]
    many = [one for one in timed if one.part.passes > FEW]
    choices = (
        [one for one in same if one.part.model == part.model],
        same,
        [one for one in many if one.part.library == part.library],
        many,
    )
    alike = next((choice for choice in choices if choice), [])
    passes = sum(one.jobs * one.part.passes for one in alike)
    if not passes:
        return None, False
    pass_seconds = max(0.0, sum(one.seconds - one.jobs * always for one in alike)) / passes
    slowness = compared(part.model, {one.part.model for one in alike}, timed)
    return always + part.passes * pass_seconds * slowness, bool(same)


def compared(model: str, others: Collection[str], timed: Iterable[Progress]) -> float:
    """Return a model's time relative to that of others, by attacks timed on both; 1 if there are none."""
    mine: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for one in timed:
        for times, is_its in ((mine, one.part.model == model), (theirs, one.part.model in others)):
            if is_its:
                times.setdefault(one.part.attack, []).append(one.each)
    both = mine.keys() & theirs.keys()
    own = sum(sum(mine[attack]) / len(mine[attack]) for attack in both)
    usual = sum(sum(theirs[attack]) / len(theirs[attack]) for attack in both)
    return own / usual if own > 0 and usual > 0 else 1.0


def rate(value: float) -> str:
    """Return a rate with three digits, or with all digits before the point.

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
