"""A plan in several processes, parts or repetitions gives the same bits as in one."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from robench.cli import app
from robench.record.comparison.repetition import differences_of
from robench.record.store import Store

PLAN = """
name: small
dataset: {name: digits, limit: 24}
shard: 12
models:
  - name: net
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 1}}, data: {limit: 100}}
  - name: net-wnll
    features_of: net
    head: {wnll: {m: 8, n: 4, template: 60}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm, {pgd: {steps: 3}}]}
"""


def robench(folder, *arguments):
    command = [sys.executable, "-P", "-m", "robench", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a finished run in one process, `whole`, that no test may change."""
    root = tmp_path_factory.mktemp("parts")
    (root / "plan.yaml").write_text(PLAN)
    outcome = robench(root, "run", "plan.yaml", "-o", "whole", "--threads", "1", "--limit", "20", "-q")
    assert outcome.returncode == 0, outcome.stderr
    return root


def same(folder, other):
    comparison = differences_of(Store(folder / "whole"), Store(folder / other))
    assert comparison.compared == 44
    assert comparison.same, comparison.lines()


RUN = ("run", "plan.yaml", "--threads", "1", "--limit", "20", "-q")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2", "3"])
def test_workers_change_no_bit(folder, workers):
    outcome = robench(folder, *RUN, "-o", f"workers-{workers}", "--workers", workers)
    assert outcome.returncode == 0, outcome.stderr
    same(folder, f"workers-{workers}")


@pytest.mark.slow
def test_deterministic_operations_give_the_bits_there_are(folder):
    outcome = robench(folder, *RUN, "-o", "deterministic", "--deterministic")
    assert outcome.returncode == 0, outcome.stderr
    same(folder, "deterministic")


@pytest.mark.slow
def test_everything_is_judged_again_by_force_and_the_same(folder):
    for _ in range(2):
        outcome = robench(folder, *RUN, "-o", "forced", "--force", "--workers", "2")
        assert outcome.returncode == 0, outcome.stderr
        assert "44 units finished, 0 cached" in outcome.stdout
    same(folder, "forced")


@pytest.mark.slow
def test_two_runs_on_one_folder_share_the_work(folder):
    command = [sys.executable, "-P", "-m", "robench", *RUN, "-o", "shared"]
    pair = [subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outputs
    counts = [int(text.split(" units finished")[0].split()[-1]) for text in outputs]
    assert sum(counts) == 44
    same(folder, "shared")
    assert not (folder / "shared" / "leases").exists()


@pytest.mark.slow
def test_another_plan_is_refused_while_one_is_run(folder):
    command = [sys.executable, "-P", "-m", "robench", *RUN, "-o", "busy"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list((folder / "busy").glob("leases/run-*.lease")):
        assert process.poll() is None
    refusal = robench(folder, *RUN, "-o", "busy", "--seed", "7")
    assert refusal.returncode == 2
    assert "other processes are running in this folder" in refusal.stderr
    process.communicate()
    assert process.returncode == 0


@pytest.mark.slow
def test_parts_are_merged_to_the_whole(folder):
    for part in ("1/2", "2/2"):
        outcome = robench(folder, *RUN, "-o", f"part-{part[0]}", "--shard", part)
        assert outcome.returncode == 0, outcome.stderr
    assert json.loads((folder / "part-1" / "run.json").read_text())["status"] == "part"
    merger = CliRunner().invoke(
        app, ["merge", *map(str, (folder / "part-1", folder / "part-2")), "-o", str(folder / "all")]
    )
    assert merger.exit_code == 0, merger.output
    assert "44 of 44 records of 2 parts (4 were in several parts, all alike)" in merger.output
    same(folder, "all")
    outcome = robench(folder, *RUN, "-o", "all")
    assert "0 units finished, 44 cached" in outcome.stdout


@pytest.mark.slow
def test_a_repetition_says_whether_the_bits_are_the_same(folder):
    outcome = robench(folder, "rerun", "whole", "-o", "again", "--threads", "1", "-q")
    assert outcome.returncode == 0, outcome.stderr
    assert "44 records compared: 0 differ" in outcome.stdout
    record = next(path for path in (folder / "again" / "units").iterdir() if '"pgd"' in path.read_text())
    store = Store(folder / "again")
    whole = store.read(record.stem)
    whole.columns.forwards[0] += 1
    store.unit(record.stem).unlink()
    store.write(whole)
    comparison = differences_of(Store(folder / "whole"), store)
    assert len(comparison.verdicts) == 1
    assert not comparison.same


def test_what_is_no_run_cannot_be_merged_or_repeated(tmp_path):
    for arguments in (["merge", "a", "b", "-o", "c"], ["rerun", "a"]):
        refusal = CliRunner().invoke(app, arguments)
        assert refusal.exit_code == 2
        assert "expected a run folder, got nothing of that name" in refusal.stderr
