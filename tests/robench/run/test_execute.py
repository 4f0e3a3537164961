"""A plan in a folder, for real: train, attack, judge, resume, fail in part, be killed."""

import json
import signal
import subprocess
import sys

import pytest
import torch

from robench.errors import CheckpointError, ConfigError, DeviceError, InputError
from robench.plan import config
from robench.record.store import Store
from robench.run.execute import execute, train_only
from robench.run.progress import Quiet
from robench.run.settings import Environment

PLAN = """
name: small
dataset: {name: digits, limit: 24}
shard: 12
models:
  - name: net
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 2}}, data: {limit: 200}}
  - name: net-wnll
    features_of: net
    head: {wnll: {m: 8, n: 4, template: 60}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm, {pgd: {steps: 3}}]}
  - {norm: L2, eps: inf, attacks: [{cw: {steps: 3}}]}
"""


def parsed(text=PLAN, folder=None):
    return config.parse(text, file=(folder or config.locate("digits").parent) / "plan.yaml", overrides=None)


def go(plan, out, **options):
    environment = Environment(**{"device": "cpu", **options})
    return execute(plan, out, config_text=PLAN, environment=environment)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, which no test may change."""
    out = tmp_path_factory.mktemp("run")
    return out, go(parsed(), out)


def verdicts(out):
    return {
        (r.source.name, r.source.gradient_source, r.target.name, r.attack.label, i): (s, p)
        for r in Store(out).read_records()
        for i, s, p in zip(r.columns.index, r.columns.status, r.columns.adversarial, strict=True)
    }


@pytest.mark.thorough
def test_every_unit_is_there(finished):
    out, outcome = finished
    # Per shard: 2 clean, and 3 attacks x (1 + 4 gradient sources) x 2 targets.
    assert (outcome.finished, outcome.cached, outcome.failed) == (2 * (2 + 3 * 5 * 2), 0, 0)
    assert len(verdicts(out)) == 24 * (2 + 30)
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["versions"]["torch"] == torch.__version__.split("+")[0]


@pytest.mark.thorough
def test_the_same_again_does_nothing(finished):
    out, first = finished
    before = {p: p.stat().st_mtime_ns for p in (out / "units").iterdir()}
    again = go(parsed(), out)
    assert (again.finished, again.cached) == (0, first.finished)
    assert {p: p.stat().st_mtime_ns for p in (out / "units").iterdir()} == before


@pytest.mark.thorough
def test_another_run_gives_the_same_bits(finished, tmp_path):
    out, _ = finished
    go(parsed(), tmp_path)
    assert verdicts(tmp_path) == verdicts(out)
    assert {p.name for p in (tmp_path / "units").iterdir()} == {p.name for p in (out / "units").iterdir()}


@pytest.mark.thorough
def test_what_was_done_since_is_no_failure_any_more(finished, tmp_path):
    out, _ = finished
    subprocess.run(["cp", "-r", f"{out}/.", str(tmp_path)], check=True)
    store = Store(tmp_path)
    records = [record for record in store.read_records() if record.source.name]
    keys = {path.stem for path in (tmp_path / "adv").iterdir()}
    # A process that was ended once while it judged leaves an account under the name of the whole job.
    for name in [*keys, "features"]:
        store.write_error(name, {"job": "a job", "error": "its process was killed by SIGKILL", "kills": 1})
    store.unit(records[0].key).unlink()
    outcome = go(parsed(), tmp_path)
    assert (outcome.finished, outcome.failed) == (1, 0)
    assert store.read_errors() == {}


@pytest.mark.thorough
def test_one_changed_number_reruns_exactly_its_own(finished, tmp_path):
    out, _ = finished
    subprocess.run(["cp", "-r", f"{out}/.", str(tmp_path)], check=True)
    outcome = go(parsed(PLAN.replace("pgd: {steps: 3}", "pgd: {steps: 4}")), tmp_path)
    assert outcome.finished == 2 * 5 * 2
    assert outcome.cached == 2 * (2 + 2 * 5 * 2)


@pytest.mark.thorough
def test_force_computes_everything_again(finished, tmp_path):
    out, first = finished
    subprocess.run(["cp", "-r", f"{out}/.", str(tmp_path)], check=True)
    outcome = go(parsed(), tmp_path, force=True)
    assert (outcome.finished, outcome.cached) == (first.finished, 0)


RAISES = """
import torch
from torch import nn

class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.calls = 0

    def forward(self, x):
        if len(x) > 2:  # the probe before the run passes two images
            raise RuntimeError("out of order")
        return self.linear(x.flatten(1))

def make():
    return Raises()
"""


class Failures(Quiet):
    """Keeps what is told of failures."""

    def __init__(self):
        self.told = []

    def failed(self, text):
        self.told.append(text)


@pytest.mark.thorough
def test_a_training_that_raises_is_told_with_its_reason(tmp_path):
    (tmp_path / "nets.py").write_text(RAISES)
    text = PLAN.replace(
        "threats:",
        '  - {name: bad, architecture: "nets.py:make", train: {defense: {natural: {epochs: 1}}}}\nthreats:',
    )
    failures = Failures()
    outcome = execute(
        parsed(text, tmp_path), tmp_path / "out", config_text=text, reporter=failures,
        environment=Environment(device="cpu", trust_code=True),
    )  # fmt: skip
    assert outcome.failed == 1
    assert failures.told == ["bad: RuntimeError: out of order."]


@pytest.mark.thorough
def test_a_model_that_raises_fails_alone(tmp_path):
    (tmp_path / "nets.py").write_text(RAISES)
    text = PLAN.replace("threats:", '  - {name: bad, architecture: "nets.py:make"}\nthreats:')
    plan = parsed(text, tmp_path)
    outcome = go(plan, tmp_path / "out", trust_code=True)
    records = Store(tmp_path / "out").read_records()
    assert outcome.failed > 0
    assert {r.target.name for r in records} == {"net", "net-wnll"}
    accounts = Store(tmp_path / "out").read_errors()
    assert any("out of order" in a["error"] for a in accounts.values())
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed jobs"


def test_code_needs_trust(tmp_path):
    (tmp_path / "nets.py").write_text("import os; os.mkdir('ran')\ndef make(): ...")
    text = PLAN.replace("threats:", '  - {name: bad, architecture: "nets.py:make"}\nthreats:')
    with pytest.raises(ConfigError, match="--trust-code"):
        go(parsed(text, tmp_path), tmp_path / "out")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (("limit: 24", "limit: 100000"), InputError, "limit"),
        (("template: 60", "template: 9"), InputError, "without"),
    ],
)
def test_bad_plans_are_refused_and_nothing_is_evaluated(tmp_path, change, error, words):
    with pytest.raises(error, match=words):
        go(parsed(PLAN.replace(*change)), tmp_path)
    assert not list(tmp_path.glob("units/*"))


def test_m_larger_than_the_template_is_refused_by_the_configuration():
    with pytest.raises(ConfigError, match=r"plan\.yaml:\d+: expected a template of at least m = 8"):
        parsed(PLAN.replace("template: 60", "template: 4"))


def test_a_missing_checkpoint_is_refused_before_training(tmp_path):
    text = PLAN.replace(
        "threats:", "  - {name: old, architecture: digits_cnn, checkpoint: gone.safetensors}\nthreats:"
    )
    with pytest.raises((CheckpointError, ConfigError), match=r"gone\.safetensors"):
        go(parsed(text, tmp_path), tmp_path / "out")
    assert not list((tmp_path).glob("out/models/*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_a_gpu_is_refused(tmp_path):
    with pytest.raises(DeviceError, match="auto, cpu"):
        go(parsed(), tmp_path, device="cuda")


@pytest.mark.thorough
def test_train_only_leaves_weights_that_run_finds(tmp_path):
    outcome = train_only(parsed(), tmp_path, config_text=PLAN, environment=Environment(device="cpu"))
    assert (outcome.finished, outcome.cached) == (1, 0)
    again = train_only(parsed(), tmp_path, config_text=PLAN, environment=Environment(device="cpu"))
    assert (again.finished, again.cached, again.failed) == (0, 1, 0)
    (weights,) = tmp_path.glob("models/*/weights.safetensors")
    stamp = weights.stat().st_mtime_ns
    go(parsed(), tmp_path)
    assert weights.stat().st_mtime_ns == stamp


KILLED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from robench.cli import main
from robench.run.keeper import FolderKeeper
from robench.record import files

number, left = int(sys.argv[1]), [int(sys.argv[2])]

def struck(real):
    def do(*given):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), number)
        return real(*given)
    return do

if sys.argv[3] == "record":
    FolderKeeper.keep_record = struck(FolderKeeper.keep_record)
else:
    files.os.replace, files.os.link = struck(files.os.replace), struck(files.os.link)
sys.argv = ["robench", "run", "plan.yaml", "-o", "out", "--threads", "1", "--workers", "0"]
main()
"""
"""A run that sends itself a signal when it keeps its so many-th record, or puts a file in its place."""


def killed(folder, number, at, what):
    """Run the plan and kill it there; return the process as it ended."""
    (folder / "plan.yaml").write_text(PLAN)
    command = [sys.executable, "-c", KILLED, str(int(number)), str(at), what]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.thorough
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_was_finished_and_resumes(finished, tmp_path, number, code):
    out, _ = finished
    process = killed(tmp_path, number, 6, "record")
    assert process.returncode == code, process.stderr
    assert "Resume with: robench run plan.yaml -o out" in process.stderr
    assert "Traceback" not in process.stderr
    count = len(list((tmp_path / "out" / "units").glob("*.json")))
    assert count in {5, 6}  # the one at hand may have been finished before Python looked at the signal
    outcome = go(parsed(), tmp_path / "out")
    assert outcome.cached == count
    assert verdicts(tmp_path / "out") == verdicts(out)


@pytest.mark.thorough
@pytest.mark.parametrize("at", [30, 61])
def test_a_killed_run_leaves_no_torn_file_and_resumes(finished, tmp_path, at):
    out, _ = finished
    process = killed(tmp_path, signal.SIGKILL, at, "file")
    assert process.returncode == -signal.SIGKILL, process.stderr
    store = Store(tmp_path / "out")
    keys = store.keys()
    assert 0 < len(keys) < len(Store(out).keys())
    assert all(store.has(key) for key in keys)
    go(parsed(), tmp_path / "out")
    assert verdicts(tmp_path / "out") == verdicts(out)
