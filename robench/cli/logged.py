"""A reporter that also hands numbers to a log: accuracies as units finish, epochs of trainings, failures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robench.cli.run_log import MLflowSink, RunLog, Sink, kind_and_place
from robench.cli.trackio_log import TrackioSink
from robench.run.progress import ColumnAccuracy, Reporter

if TYPE_CHECKING:
    from robench.plan.spec import Plan
    from robench.record.exchange.plain_boards import PlainBoard


def open_log(to: str | None, plan: Plan, folder: Path) -> RunLog | None:
    """Return the log that `--log` asks for; None for none.

    Raises:
        ConfigError: an unknown log, or its package is not installed.
    """
    if to is None:
        return None
    from robench import __version__
    from robench.plan.data_title import data_title

    data = plan.data
    kind, place = kind_and_place(to)
    parameters = {
        "robench": __version__,
        "seed": str(plan.seed),
        "data": f"{data_title(data.dataset.name, data.dataset.options, data.split)} {data.split}"[:500],
        "models": ", ".join(model.name for model in plan.models)[:500],
        "folder": str(folder)[:500],
    }
    sinks: dict[str, type[MLflowSink] | type[TrackioSink]] = {"mlflow": MLflowSink, "trackio": TrackioSink}
    sink: Sink = sinks[kind](place=place, name=plan.name, parameters=parameters)
    return RunLog(sink, folder, to)


class Logged(Reporter):
    """Passes on everything to another reporter, and numbers to a log.

    Args:
        reporter: shows progress.
        log: gets numbers as they come.
    """

    def __init__(self, reporter: Reporter, log: RunLog) -> None:
        self._reporter, self._log = reporter, log
        self._model = ""
        self._total = self._units = self._failures = 0

    def start(self, total: int) -> None:
        """Note how many units there are."""
        self._total = total
        self._log.add("units/planned", total)
        self._reporter.start(total)

    def stage(self, text: str) -> None:
        """Pass on what begins."""
        self._reporter.stage(text)

    def model(self, name: str) -> None:
        """Note the model whose training is reported from now on."""
        self._model = name
        self._reporter.model(name)

    def begin(self, text: str) -> None:
        """Pass on which unit is worked on."""
        self._reporter.begin(text)

    def advance(self, text: str, *, cached: bool = False, accuracy: ColumnAccuracy | None = None) -> None:
        """Log the accuracy of a unit's column over the images judged so far, and how many units are done."""
        self._units += 1
        self._log.add("units/done", self._units, self._units)
        if accuracy is not None and accuracy.n:
            self._log.add(metric_name(accuracy), accuracy.right / accuracy.n, accuracy.n)
        self._reporter.advance(text, cached=cached, accuracy=accuracy)
        self._tell()

    def training(self, row: dict[str, float]) -> None:
        """Log the row of an epoch."""
        if "step" not in row:
            for name, value in row.items():
                if name != "epoch":
                    self._log.add(f"training/{self._model}/{name}", value, int(row.get("epoch", 0)))
        self._reporter.training(row)
        self._tell()

    def finding(self, text: str) -> None:
        """Pass on a reason to doubt a number."""
        self._reporter.finding(text)

    def failed(self, text: str) -> None:
        """Count what failed."""
        self._failures += 1
        self._log.add("units/failed", self._failures, self._units)
        self._reporter.failed(text)

    def close(self) -> None:
        """Log how the work ended; the caller that opened the log closes it."""
        self._log.status = (
            "FAILED" if self._failures else "FINISHED" if self._units >= self._total else "KILLED"
        )
        self._reporter.close()

    def _tell(self) -> None:
        if complaint := self._log.complaint():
            self._reporter.stage(complaint)


def metric_name(accuracy: ColumnAccuracy) -> str:
    """Return the name of a column's metric: `robust/Linf 0.1/MODEL/ATTACK`, `clean/MODEL`."""
    if accuracy.column is None:
        return "accuracy"
    threat, source, target, attack = accuracy.column
    if not accuracy.attacked:
        return f"clean/{target}"
    kind = "certified" if accuracy.certified else "robust"
    where = "" if source == target else f" from {source}"
    return f"{kind}/{threat.norm} {threat.eps:g}/{target}/{attack}{where}"


def log_headlines(log: RunLog, boards: Sequence[PlainBoard]) -> None:
    """Log the worst case of every row and its interval, as the boards of a run show them.

    Args:
        log: the log.
        boards: as the report `json` has them.
    """
    for board in boards:
        for row in board["rows"]:
            share = row["worst_case"]
            if board["norm"] and share and share["n"]:
                name = f"worst case/{board['norm']} {board['eps_text']}/{row['model']}"
                log.add(name, share["count"] / share["n"])
                log.add(f"{name}/low", share["low"])
                log.add(f"{name}/high", share["high"])
