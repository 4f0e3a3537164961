"""Progress in a terminal, and one plain line per finished unit everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from robench.cli.console import LastingErrors, errors, one_line, printable
from robench.cli.pace import Pace, span
from robench.plurals import counted
from robench.run.progress import ColumnAccuracy, Quiet, Reporter
from robench.run.time_estimate import Part

TRAINING_LINE_SECONDS = 5.0
ALIVE_SECONDS = 30.0
"""Seconds without a line after which one says what is at work."""
ACCURACIES = {
    "train_accuracy": "train",
    "train_robust_accuracy": "train under attack",
    "validation_accuracy": "held out",
    "validation_robust_accuracy": "under attack",
    "validation_own_accuracy": "under its own attack",
}
"""Accuracies in the history of a training, in the words of a progress line."""


def reporter_for(*, quiet: bool) -> Reporter:
    """Return the suitable reporter: none, bars in a terminal, or plain lines."""
    if quiet:
        return Quiet()
    return RichReporter() if sys.stderr.isatty() else PlainReporter()


class PlainReporter(Quiet):
    """One plain line per finished unit on stderr, nothing when it begins: no colours, no movement."""

    def __init__(self) -> None:
        self.pace = Pace(0)
        self.parts: Sequence[Part] = ()
        self.last_training_time = self.last_line_time = 0.0

    def _line(self, text: str) -> None:
        errors = LastingErrors()
        errors.write(printable(text).replace("\n", " ") + "\n")
        errors.flush()
        self.last_line_time = time.monotonic()

    def start(self, total: int) -> None:
        """Say how many units there are."""
        self.pace = Pace(total, parts=self.parts)
        self._line(counted(total, "unit"))

    def workload(self, parts: Sequence[Part]) -> None:
        """Keep what there is to do, to tell the time left."""
        self.parts = parts

    def alive(self, text: str, seconds: float, passes: int) -> None:
        """Say now and then which unit is running, if nothing else was printed."""
        self._say_resumed()
        if time.monotonic() - self.last_line_time >= ALIVE_SECONDS:
            self._line(f"  {alive_text(text, seconds, passes)}")

    def stage(self, text: str) -> None:
        """Say what begins."""
        self._line(text)

    def advance(self, text: str, *, cached: bool = False, accuracy: ColumnAccuracy | None = None) -> None:
        """Say which unit is finished and its column's accuracy; cached ones are only counted."""
        if not cached:
            self._say_resumed()
        self.pace.note(accuracy.images if accuracy else 0, cached=cached, title=text)
        if not cached:
            tail = ": ".join(filter(None, (text, state_text(accuracy, self.pace))))
            self._line(f"[{self.pace.count}/{self.pace.total}] {tail}")

    def _say_resumed(self) -> None:
        if text := self.pace.resumed():
            self._line(text)

    def training(self, row: dict[str, float]) -> None:
        """Say every epoch's row, and a step now and then."""
        if "step" in row:
            if time.monotonic() - self.last_training_time < TRAINING_LINE_SECONDS:
                return
            self.last_training_time = time.monotonic()
        self._line("  " + training_text(row))

    def finding(self, text: str) -> None:
        """Say a finding."""
        self._line(f"! {text}")

    def failed(self, text: str) -> None:
        """Say what failed."""
        self._line(f"failed: {text}")


class Bars(Progress):
    """Bars with a line above them, cut to the width of the terminal.

    Args:
        console: where they are drawn.
    """

    def __init__(self, console: Console) -> None:
        self.title = ""
        super().__init__(
            BarColumn(bar_width=6 if console.width < 100 else 24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            # In a narrow terminal the description is wrapped, not the counts.
            TextColumn("{task.description}", markup=False, table_column=Column()),
            console=console,
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the line and the bars."""
        if self.title:
            yield Text(self.title, no_wrap=True, overflow="ellipsis")
        yield from super().get_renderables()


class RichReporter(Quiet):
    """What is being done, and two bars, on stderr: units, and the steps of a training."""

    def __init__(self) -> None:
        self._progress: Bars | None = None
        self._parts: Sequence[Part] = ()
        self._pace = self._epoch = Pace(0)
        self._units: TaskID | None = None
        self._steps: TaskID | None = None

    def _bars(self) -> Bars:
        if self._progress is None:
            self._progress = Bars(errors())
            self._progress.start()
        return self._progress

    def _print(self, text: str, style: str = "") -> None:
        self._bars().console.print(Text(printable(text), style=style))

    def start(self, total: int) -> None:
        """Open the bar of units."""
        self._end_steps()
        self._pace = Pace(total, parts=self._parts)
        self._units = self._bars().add_task("", total=total)

    def workload(self, parts: Sequence[Part]) -> None:
        """Keep what there is to do, to tell the time left."""
        self._parts = parts

    def alive(self, text: str, seconds: float, passes: int) -> None:
        """Write above the bars for how long a unit has been at work."""
        self._say_resumed()
        self._bars().title = printable(alive_text(text, seconds, passes)).replace("\n", " ")

    def stage(self, text: str) -> None:
        """Print what begins."""
        self._end_steps()
        self._print(text)

    def begin(self, text: str) -> None:
        """Write above the bars what is worked on."""
        self._bars().title = printable(text).replace("\n", " ")

    def advance(self, text: str, *, cached: bool = False, accuracy: ColumnAccuracy | None = None) -> None:
        """Move the bar of units by one and write beside it the accuracy of this unit's column."""
        if not cached:
            self._say_resumed()
        self._pace.note(accuracy.images if accuracy else 0, cached=cached, title=text)
        if self._units is not None:
            self._bars().title = printable(text).replace("\n", " ")
            description = state_text(accuracy, self._pace)
            self._bars().update(self._units, advance=1, description=description)

    def _say_resumed(self) -> None:
        if text := self._pace.resumed():
            self._print(text)

    def training(self, row: dict[str, float]) -> None:
        """Move the bar of steps, or print an epoch's row."""
        if "step" not in row:
            self._print("  " + training_text(row), style="dim")
            return
        step, steps = int(row["step"]), int(row.get("steps", 0))
        if self._steps is None or step <= self._epoch.count:
            self._epoch = Pace(steps)
        if self._steps is None:
            self._steps = self._bars().add_task("", total=row.get("steps"))
        self._epoch.reach(step)
        epoch = f"epoch {row['epoch']:g}" if "epoch" in row else ""
        text = ", ".join(filter(None, (epoch, self._epoch.text())))
        self._bars().update(self._steps, completed=row["step"], total=row.get("steps"), description=text)

    def finding(self, text: str) -> None:
        """Print a finding."""
        self._print(f"! {text}", style="yellow")

    def failed(self, text: str) -> None:
        """Print what failed."""
        self._print(f"failed: {text}", style="red")

    def close(self) -> None:
        """Take the bars away."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._units = self._steps = None

    def _end_steps(self) -> None:
        if self._steps is not None and self._progress is not None:
            self._progress.remove_task(self._steps)
        self._steps = None


def alive_text(title: str, seconds: float, passes: int) -> str:
    """Return that a unit is at work, for how long, and what it did.

    Example:
        >>> alive_text("cw on net", 62.0, 12000)
        'at work for 1 min 2 s, 12,000 passes: cw on net'
    """
    work = f", {counted(passes, 'pass', digits=',')}" if passes else ""
    return f"at work for {span(seconds)}{work}: {title}"


def state_text(accuracy: ColumnAccuracy | None, pace: Pace) -> str:
    """Return the accuracy of a column and the pace of the work, as far as they are known."""
    return ", ".join(filter(None, (accuracy.text() if accuracy else "", pace.text())))


def training_text(row: dict[str, float]) -> str:
    """Return a row of a training history in one line; what was not measured is not mentioned.

    Example:
        >>> training_text({"epoch": 2.0, "loss": 0.25, "validation_accuracy": 0.9, "validation_images": 50})
        'epoch 2, loss 0.25, held out 90.0 % (n 50)'
    """
    parts = []
    for name, value in row.items():
        if name in ACCURACIES:
            count = row.get("validation_images")
            n = f" (n {count:.0f})" if count and name == "validation_accuracy" else ""
            parts.append(f"{ACCURACIES[name]} {100 * value:.1f} %{n}")
        elif name == "step":
            parts.append(f"step {value:.0f}" + (f" of {row['steps']:.0f}" if row.get("steps") else ""))
        elif name == "best":
            parts += ["best so far"] if value else []
        elif name == "seconds":
            parts.append(f"{value:.1f} s")
        elif name not in {"validation_images", "steps"}:
            parts.append(f"{name.replace('_', ' ')} {value:.4g}")
    return ", ".join(parts)


class FailuresOnly(Quiet):
    """Reports only failures: `robench verify` prints the results of its checks itself."""

    def failed(self, text: str) -> None:
        """Say which model could not be rebuilt."""
        sys.stderr.write(one_line(f"failed: {text}") + "\n")
