"""A run told to trackio in a process of its own: against a stand-in of its interface, and trackio itself."""

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robench.cli import app, run_log
from robench.cli.run_log import FILE, Metric, RunLog
from robench.cli.trackio_log import TrackioSink

STAND_IN = """
import json, os
from pathlib import Path

print("* noise on stdout")


class Run:
    def __init__(self, name):
        self.name, self.lines = name, []

    def log(self, metrics, step=None):
        if "explode" in metrics:
            raise RuntimeError("no room")
        self.lines.append([metrics, step])

    def finish(self):
        names = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "HF_HUB_OFFLINE", "DO_NOT_TRACK")
        environment = {name: os.environ.get(name) for name in names}
        account = {"lines": self.lines, "environment": environment, **self.about}
        Path(os.environ["TRACKIO_DIR"], "run.json").write_text(json.dumps(account))


def init(project, name=None, group=None, space_id=None, server_url=None, dataset_id=None, bucket_id=None,
         config=None, resume="never", settings=None, private=None, embed=True, auto_log_gpu=None,
         gpu_log_interval=10.0, auto_log_cpu=None, cpu_log_interval=10.0, webhook_url=None,
         webhook_min_level=None):
    print("* Trackio project initialized:", project)
    if name == "refused":
        raise ValueError("no such name")
    run = Run(name)
    run.about = {"project": project, "config": config, "embed": embed}
    run.about["hardware"] = [auto_log_gpu, auto_log_cpu]
    return run
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A module `trackio` with the signatures of trackio 0.43, which writes what it is told into a file."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "trackio.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/space")
    monkeypatch.setenv("TRACKIO_SERVER_URL", "somewhere")
    return tmp_path / "tracking"


@pytest.mark.thorough
def test_numbers_arrive_and_nothing_leads_to_a_network(stand_in, tmp_path, capfd):
    sink = TrackioSink(place=str(stand_in), name="mine", parameters={"seed": "0"})
    log = RunLog(sink, tmp_path, "trackio:x")
    log.add("clean/a", 0.75, 4)
    log.add("clean/a", 0.5, 8)
    log.close()
    assert json.loads((tmp_path / FILE).read_text()) == {
        "to": "trackio:x", "run": "mine", "metrics": 2, "error": ""
    }  # fmt: skip
    account = json.loads((stand_in / "run.json").read_text())
    assert account["lines"] == [[{"clean/a": 0.75}, 4], [{"clean/a": 0.5}, 8], [{"failed": 0.0}, 0]]
    assert account["project"] == "robench"
    assert account["config"] == {"seed": "0"}
    assert account["hardware"] == [False, False]
    assert not account["embed"]
    assert account["environment"] == {
        "TRACKIO_SPACE_ID": None, "TRACKIO_SERVER_URL": None, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"
    }  # fmt: skip
    assert os.environ["TRACKIO_SPACE_ID"] == "somebody/space"
    assert capfd.readouterr() == ("", "")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "metric", "words"),
    [("refused", "a", "ValueError: no such name"), ("mine", "explode", "RuntimeError: no room")],
)
def test_what_trackio_says_last_is_the_complaint(name, metric, words, stand_in, tmp_path):
    log = RunLog(TrackioSink(place=str(stand_in), name=name, parameters={}), tmp_path, "trackio:x")
    log.add(metric, 1.0)
    log.close()
    assert log.complaint() == f"trackio:x takes nothing: OSError: {words}; the run goes on without"


@pytest.mark.thorough
def test_a_status_other_than_finished_is_a_number(stand_in):
    sink = TrackioSink(place=str(stand_in), name="mine", parameters={})
    sink.open()
    sink.write(Metric("a", 1.0))
    sink.close("KILLED")
    assert json.loads((stand_in / "run.json").read_text())["lines"][-1] == [{"failed": 1.0}, 0]


def test_a_missing_package_is_named_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(app, ["run", "digits", "--log", "trackio:here"])
    assert outcome.exit_code == 2
    text = " ".join(outcome.stderr.split())
    assert "expected the package trackio, got no trackio" in text
    assert 'pip install "robench[trackio]"' in text
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.thorough
def test_trackio_reads_back_what_a_run_told(tmp_path):
    pytest.importorskip("trackio")
    sink = TrackioSink(place=str(tmp_path), name="mine", parameters={"seed": "0"})
    identity = sink.open()
    sink.write(Metric("clean/a", 0.75, 4))
    sink.close("FINISHED")
    code = (
        "import json, sys, trackio\n"
        "(run,) = trackio.Api().runs('robench')\n"
        "from trackio.sqlite_storage import SQLiteStorage\n"
        "logs = SQLiteStorage.get_logs('robench', run.name)\n"
        "print(json.dumps([run.name, run.config['seed'], logs]))\n"
    )
    import subprocess

    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    text = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True
    ).stdout
    name, seed, logs = json.loads(text.splitlines()[-1])
    assert (name, seed) == (identity, "0")
    assert any(line.get("clean/a") == 0.75 and line["step"] == 4 for line in logs)
