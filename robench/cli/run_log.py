"""Logs a run to MLflow or trackio while it goes on, from a thread that neither stops nor slows the run.

An error of writing is printed once and recorded in `logging.json` of the run folder; the run continues.
"""

from __future__ import annotations

import json
import os
import queue
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from robench.errors import ConfigError

FILE = "logging.json"
PATIENCE = 30.0
"""Seconds that the end of a run waits for numbers that are not written yet."""
_UNFIT = re.compile(r"[^\w\-. :/]", re.ASCII)
"""Characters that MLflow does not accept in names."""
_PACKAGES = ("mlflow", "sqlalchemy", "alembic")
INSTALL = {
    "mlflow": 'pip install "robench[mlflow]", or mlflow-skinny with sqlalchemy and alembic',
    "trackio": 'pip install "robench[trackio]"',
}
"""How to install the packages of a log, by its kind."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a run.

    Attributes:
        name: its name; slashes divide it into groups.
        value: the number.
        step: number of images of a column, units or epochs, depending on the name.
    """

    name: str
    value: float
    step: int = 0


class Sink(Protocol):
    """The receiver of numbers; it may raise any error."""

    def open(self) -> str:
        """Make ready and return the identity of the run there."""

    def write(self, metric: Metric) -> None:
        """Keep one number."""

    def close(self, status: str) -> None:
        """Note how the run ended: `FINISHED`, `FAILED` or `KILLED`."""


def kind_and_place(text: str) -> tuple[str, str]:
    """Return `mlflow` or `trackio`, and the place, of a text such as `mlflow:PLACE`.

    Raises:
        ConfigError: it is another kind of log, names no place, or a package is missing.
    """
    kind, _, place = text.partition(":")
    if kind not in INSTALL or not place.strip() or (kind == "trackio" and "://" in place):
        expected = "mlflow:FOLDER, mlflow:URI of a tracking server, or trackio:FOLDER"
        raise ConfigError(where="--log", expected=expected, got=repr(text))
    packages: tuple[str, ...] = ("trackio",)
    if kind == "mlflow":
        packages = _PACKAGES if "://" not in place or place.startswith("sqlite:") else _PACKAGES[:1]
    if lacking := [name for name in packages if find_spec(name) is None]:
        got = f"no {' and no '.join(lacking)}"
        raise ConfigError(where="--log", expected=f"the package {kind}", got=got, do=INSTALL[kind])
    return kind, place


@dataclass(slots=True, kw_only=True)
class MLflowSink:
    """A run of an MLflow store: a database in a folder, or the store at a URI.

    Attributes:
        place: folder or URI.
        name: name of the run.
        parameters: facts about the run that are known before it begins.
    """

    place: str
    name: str
    parameters: Mapping[str, str]
    _client: Any = None
    _run: str = ""

    def open(self) -> str:
        """Make the run, with telemetry switched off, and return its identity."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
        import logging

        from mlflow.tracking import MlflowClient

        for noisy in ("mlflow", "alembic"):  # their messages about databases are not useful here
            logging.getLogger(noisy).setLevel(logging.WARNING)
        uri, artifacts = self.place, None
        if "://" not in self.place:
            folder = Path(self.place).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
        self._client = MlflowClient(tracking_uri=uri)
        old_experiment = self._client.get_experiment_by_name("robench")
        experiment = (
            old_experiment.experiment_id
            if old_experiment
            else self._client.create_experiment("robench", artifact_location=artifacts)
        )
        self._run = self._client.create_run(experiment, run_name=self.name).info.run_id
        for name, value in self.parameters.items():
            self._client.log_param(self._run, name, value)
        return self._run

    def write(self, metric: Metric) -> None:
        """Keep one number."""
        self._client.log_metric(self._run, _UNFIT.sub("-", metric.name), metric.value, step=metric.step)

    def close(self, status: str) -> None:
        """Note how the run ended."""
        self._client.set_terminated(self._run, status=status)


class RunLog:
    """Passes numbers to a sink in a thread; the first error ends it.

    Args:
        sink: the receiver of the numbers.
        folder: the run folder, in which `logging.json` records the result.
        to: the place in words.
    """

    def __init__(self, sink: Sink, folder: Path, to: str) -> None:
        self.error = ""
        self.status = "FINISHED"
        self._told = False
        self._folder, self._to, self._sink = folder, to, sink
        self._identity, self._count = "", 0
        self._metrics: queue.SimpleQueue[Metric | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="robench-log", daemon=True)
        self._thread.start()

    def add(self, name: str, value: float, step: int = 0) -> None:
        """Note a number; it is written when there is time."""
        if not self.error:
            self._metrics.put(Metric(name, float(value), step))

    def complaint(self) -> str:
        """Return in a line why logging has stopped, once; empty if it has not."""
        if not self.error or self._told:
            return ""
        self._told = True
        return f"{self._to} takes nothing: {self.error}; the run goes on without"

    def close(self) -> None:
        """Wait for numbers that are not written yet, at most half a minute, and record the result."""
        self._metrics.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive() and not self.error:
            self.error = f"no answer within {PATIENCE:.0f} seconds of the run's end"
        account = {"to": self._to, "run": self._identity, "metrics": self._count, "error": self.error}
        from robench.errors import StorageError
        from robench.record.files import write_atomic

        try:
            write_atomic(self._folder / FILE, json.dumps(account, indent=1) + "\n")
        except StorageError as error:
            self.error = self.error or str(error)

    def _work(self) -> None:
        try:
            self._identity = self._sink.open()
            while (metric := self._metrics.get()) is not None:
                self._sink.write(metric)
                self._count += 1
            self._sink.close(self.status)
        except BaseException as error:  # noqa: BLE001 - foreign code: its errors must not stop a run
            text = " ".join(str(error).split())
            self.error = f"{type(error).__name__}: {text[:300]}"
