"""A run told to MLflow: numbers arrive as they come; what fails there is said once and stops nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robench.cli import app, run_log
from robench.cli.logged import Logged, log_headlines, metric_name
from robench.cli.run_log import FILE, MLflowSink, RunLog, kind_and_place
from robench.errors import ConfigError
from robench.run.progress import AccuracySoFar, Quiet
from tests.reports.board.test_leaderboard import B, M, R, record

CONFIGURATION = """\
name: tiny
dataset: {name: digits, limit: 12}
models:
  - {name: net, architecture: digits_cnn, train: {defense: {natural: {epochs: 1}}}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm]}
"""


class Memory:
    """A sink that keeps everything, and fails where it is told to."""

    def __init__(self, failing=""):
        self.failing, self.metrics, self.status = failing, [], ""

    def open(self):
        if self.failing == "open":
            raise OSError("no\nserver")
        return "here"

    def write(self, metric):
        if self.failing == "write":
            raise SystemExit("full")
        self.metrics.append(metric)

    def close(self, status):
        self.status = status


class Told(Quiet):
    def __init__(self):
        self.lines = []

    def stage(self, text):
        self.lines.append(text)

    def advance(self, text, *, cached=False, accuracy=None):
        self.lines.append(text)


def work(log, reporter):
    """Tell a log of two units and an epoch, as a run would."""
    relay, accuracy = Logged(reporter, log), AccuracySoFar()
    relay.start(2)
    relay.model("a")
    relay.training({"epoch": 1.0, "step": 3, "loss": 9.0})
    relay.training({"epoch": 1.0, "loss": 0.5})
    relay.advance("clean", accuracy=accuracy.add(record("a", "", "clean", [R, R, M, R], gradient="")))
    relay.advance("pgd", accuracy=accuracy.add(record("a", "a", "pgd", [R, R, M, B])))
    relay.close()
    log.close()


def test_numbers_arrive_in_order_with_their_steps(tmp_path):
    sink, listener = Memory(), Told()
    work(RunLog(sink, tmp_path, "mlflow:x"), listener)
    assert [(m.name, m.value, m.step) for m in sink.metrics] == [
        ("units/planned", 2, 0),
        ("training/a/loss", 0.5, 1),
        ("units/done", 1, 1),
        ("clean/a", 0.75, 4),
        ("units/done", 2, 2),
        ("robust/Linf 0.3/a/pgd", 0.5, 4),
    ]
    assert sink.status == "FINISHED"
    assert listener.lines == ["clean", "pgd"]
    account = json.loads((tmp_path / FILE).read_text())
    assert account == {"to": "mlflow:x", "run": "here", "metrics": 6, "error": ""}


@pytest.mark.parametrize(
    ("failing", "words"), [("open", "OSError: no server"), ("write", "SystemExit: full")]
)
def test_what_fails_is_said_once_noted_and_stops_nothing(failing, words, tmp_path):
    listener = Told()
    log = RunLog(Memory(failing), tmp_path, "mlflow:x")
    work(log, listener)
    complaints = [*[line for line in listener.lines if "mlflow" in line], log.complaint()]
    assert [line for line in complaints if line] == [
        f"mlflow:x takes nothing: {words}; the run goes on without"
    ]
    assert [line for line in listener.lines if "mlflow" not in line] == ["clean", "pgd"]
    assert json.loads((tmp_path / FILE).read_text())["error"] == words


def test_a_sink_that_hangs_costs_no_more_than_the_patience(tmp_path, monkeypatch):
    import threading

    monkeypatch.setattr(run_log, "PATIENCE", 0.05)
    gate, sink = threading.Event(), Memory()
    sink.open = gate.wait
    log = RunLog(sink, tmp_path, "mlflow:x")
    log.add("a", 1.0)
    log.close()
    gate.set()
    assert "no answer within" in log.complaint()
    assert json.loads((tmp_path / FILE).read_text())["error"]


@pytest.mark.parametrize(
    ("units", "failures", "status"), [(1, 0, "KILLED"), (2, 1, "FAILED"), (2, 0, "FINISHED")]
)
def test_how_a_run_ended(units, failures, status, tmp_path):
    sink = Memory()
    log = RunLog(sink, tmp_path, "mlflow:x")
    relay = Logged(Quiet(), log)
    relay.start(2)
    for _ in range(units):
        relay.advance("unit")
    for _ in range(failures):
        relay.failed("unit")
    relay.close()
    log.close()
    assert sink.status == status


def test_names_of_metrics():
    def name(*arguments, **options):
        return metric_name(AccuracySoFar().add(record(*arguments, **options)))

    assert name("b", "a", "pgd", [R]) == "robust/Linf 0.3/b/pgd from a"
    assert name("b", "b", "cw", [R], eps="inf", norm="L2") == "robust/L2 inf/b/cw"
    assert name("a", "", "clean", [R], gradient="") == "clean/a"


def test_headlines_are_those_of_the_boards(tmp_path):
    sink = Memory()
    log = RunLog(sink, tmp_path, "mlflow:x")
    share = {"count": 3, "n": 4, "low": 0.3, "high": 0.95}
    board = {"norm": "Linf", "eps_text": "8/255", "rows": [{"model": "a", "worst_case": share}]}
    log_headlines(
        log, [board, {**board, "norm": ""}, {**board, "rows": [{"model": "b", "worst_case": None}]}]
    )
    log.close()
    start = "worst case/Linf 8/255/a"
    assert {m.name: m.value for m in sink.metrics} == {
        start: 0.75,
        f"{start}/low": 0.3,
        f"{start}/high": 0.95,
    }


class TestRefusals:
    @pytest.mark.parametrize(
        "text", ["wandb:here", "mlflow", "mlflow:", "runs", "trackio:", "trackio:https://a.b"]
    )
    def test_another_log(self, text):
        with pytest.raises(ConfigError, match="mlflow:FOLDER"):
            kind_and_place(text)

    def test_a_missing_package_is_named_before_any_work(self, tmp_path, monkeypatch):
        monkeypatch.setattr(run_log, "find_spec", lambda name: None)
        monkeypatch.chdir(tmp_path)
        Path("tiny.yaml").write_text(CONFIGURATION)
        outcome = CliRunner().invoke(app, ["run", "tiny.yaml", "--log", "mlflow:here"])
        assert outcome.exit_code == 2
        text = " ".join(outcome.stderr.split())
        assert "no mlflow and no sqlalchemy and no alembic" in text
        assert "pip install" in text
        assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")  # so that what a run sets is taken back
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    Path("tiny.yaml").write_text(CONFIGURATION)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["run", "tiny.yaml", "--workers", "0", "--device", "cpu", *words])


@pytest.mark.thorough
def test_a_run_whose_log_fails_ends_well_and_says_it_once(here, monkeypatch):
    def refuse(self):
        raise ConnectionError("nobody there")

    monkeypatch.setattr(run_log, "find_spec", lambda name: name)
    monkeypatch.setattr(MLflowSink, "open", refuse)
    outcome = run("--log", "mlflow:here")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stderr.count("nobody there") == 1
    assert "2 units finished" in outcome.stdout
    assert json.loads((here / "runs" / "tiny" / FILE).read_text())["error"] == "ConnectionError: nobody there"


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # theirs
def test_mlflow_reads_back_what_a_run_told(here):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    outcome = run("--log", "mlflow:here")
    assert outcome.exit_code == 0, outcome.output
    account = json.loads((here / "runs" / "tiny" / FILE).read_text())
    assert account["error"] == ""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{here / 'here' / 'mlflow.db'}")
    entry = client.get_run(account["run"])
    assert entry.info.status == "FINISHED"
    assert entry.data.params["models"] == "net"
    metrics = entry.data.metrics
    assert {"clean/net", "robust/Linf 0.1/net/fgsm", "worst case/Linf 0.1/net", "training/net/loss"} <= set(
        metrics
    )
    assert metrics["robust/Linf 0.1/net/fgsm"] == metrics["worst case/Linf 0.1/net"]
    assert metrics["units/done"] == 2
    assert {p.name for p in here.iterdir()} == {"here", "runs", "tiny.yaml"}  # and no `mlruns`


def test_nothing_of_mlflow_is_imported_unless_asked():
    code = "import sys, robench.cli.logged; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
