"""Logs a run to trackio, in a folder, by a separate process without access to a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from robench.cli.run_log import Metric

PROJECT = "robench"
PATIENCE = 25.0
"""Seconds that trackio has to write the remaining numbers."""
ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID", "TRACKIO_WEBHOOK_URL")
"""Variables that would send numbers to another machine; the user wants a folder."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


@dataclass(slots=True, kw_only=True)
class TrackioSink:
    """A run of trackio's project `robench`, in a folder; `trackio show` with TRACKIO_DIR shows it.

    Attributes:
        place: folder.
        name: name of the run.
        parameters: facts about the run that are known before it begins.
    """

    place: str
    name: str
    parameters: Mapping[str, str]
    _process: subprocess.Popen[str] | None = None
    _errors: IO[bytes] = field(default_factory=TemporaryFile)

    def open(self) -> str:
        """Start the process, and return the name of the run there.

        Raises:
            OSError: the folder cannot be made, or trackio fails; with its last line.
        """
        folder = Path(self.place).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        # The path of this process, unchanged: files of the working folder do not shadow a package.
        environment |= {
            **OFFLINE,
            "TRACKIO_DIR": str(folder),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "robench.cli.trackio_writer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # Ctrl-C is for the run, which ends this process in its own way
        )
        self._send({"project": PROJECT, "name": self.name, "config": dict(self.parameters)})
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise OSError(self._last_lines())
        return str(json.loads(answer)["run"])

    def write(self, metric: Metric) -> None:
        """Keep one number.

        Raises:
            OSError: trackio has failed.
        """
        self._send({"name": metric.name, "value": metric.value, "step": metric.step})

    def close(self, status: str) -> None:
        """Note how the run ended, as the metric `failed` (0 or 1), and wait until all is written.

        Raises:
            OSError: trackio has failed, or takes too long.
        """
        self._send({"name": "failed", "value": float(status != "FINISHED"), "step": 0})
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise OSError(f"trackio was not done within {PATIENCE:.0f} seconds") from None
        if code:
            raise OSError(self._last_lines())
        self._release()

    def _send(self, line: Mapping[str, object]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise OSError(self._last_lines()) from None

    def _last_lines(self) -> str:
        """Return the last line of the process's stderr, after it has ended."""
        assert self._process is not None
        self._process.wait(PATIENCE)
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        code = self._process.returncode
        self._release()
        return lines[-1] if lines else f"trackio ended with exit code {code}"

    def _release(self) -> None:
        assert self._process is not None
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:  # unsent numbers are lost with the process
                pass
