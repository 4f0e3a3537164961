"""`robench verify` believes a run that holds, and finds every kind of tampering."""

import hashlib
import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from robench.cli.app import app
from robench.plan import to_json
from robench.store import Store
from robench.verification import read_plan

CONFIG = """\
schema: 1
name: tiny
dataset: {name: digits, split: test, limit: 24}
shard: 12
models:
  - name: net
    architecture: digits_cnn
    train: {data: {limit: 200}, defense: {natural: {epochs: 2, learning_rate: 0.1}}}
  - name: graph
    features_of: net
    head: {wnll: {protocol: joint, m: 8, n: 4, template: 40}}
    sources: [linear]
threats:
  - norm: Linf
    eps: 0.2
    attacks: [fgsm, {pgd: {steps: 3}}]
"""


def command(*words):
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verified")
    (folder / "tiny.yaml").write_text(CONFIG)
    made = command("run", folder / "tiny.yaml", "-o", folder / "run", "-q")
    assert made.exit_code == 0, made.output
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def failed(result):
    return {line.split()[1] for line in result.output.splitlines() if line.startswith("FAILED")}


def test_an_honest_run_holds(finished):
    result = command("verify", finished)
    assert result.exit_code == 0, result.output
    assert not failed(result)
    names = [line.split()[1] for line in result.output.splitlines() if line.startswith("ok")]
    assert names == ["records", "tables", "hashes", "images", "verdicts", "8", "repeats"]


def test_the_plan_comes_back_from_its_json(finished):
    plan = read_plan(Store(finished))
    assert to_json(plan) == json.loads((finished / "plan.json").read_text())


def test_a_number_changed_in_a_table_is_found(run):
    table = run / "leaderboard.csv"
    table.write_text(table.read_text().replace("0.", "1.", 1))
    result = command("verify", run)
    assert result.exit_code == 1
    assert failed(result) == {"tables"}


def test_a_lost_unit_is_found(run):
    next((run / "units").glob("*.json")).unlink()
    result = command("verify", run)
    assert result.exit_code == 1
    assert "records" in failed(result)


def test_changed_verdicts_are_found(run):
    for path in (run / "units").glob("*.json"):
        record = json.loads(path.read_text())
        if record["attack"]["label"] != "clean":
            record["columns"]["status"] = ["robust"] * len(record["columns"]["status"])
            path.write_text(json.dumps(record))
    result = command("verify", run)
    assert result.exit_code == 1
    assert {"verdicts", "repeats", "tables"} <= failed(result)


def test_changed_images_are_found(run):
    for path in (run / "adv").glob("*.safetensors"):
        tensors = load_file(path)
        tensors["x_adv"] = 1 - tensors["x_adv"]
        save_file(tensors, path)
    result = command("verify", run)
    assert result.exit_code == 1
    assert "verdicts" in failed(result)


@pytest.fixture
def other_weights(run):
    (weights,) = (run / "models").glob("*/weights.safetensors")
    tensors = load_file(weights)
    name = next(iter(tensors))
    tensors[name] = tensors[name] * 1.01
    save_file(tensors, weights)
    return weights


def test_weights_that_are_not_those_of_their_card_are_refused(run, other_weights):
    result = command("verify", run)
    assert result.exit_code == 2
    assert "sha256" in result.output.lower()


def test_other_weights_are_found_and_nothing_is_judged_on_them(run, other_weights):
    digest = hashlib.sha256(other_weights.read_bytes()).hexdigest()
    other_weights.with_suffix(".safetensors.sha256").write_text(f"{digest}  {other_weights.name}\n")
    result = command("verify", run)
    assert result.exit_code == 1
    assert "hashes" in failed(result)
    assert "verdicts" not in result.output


def test_lost_weights_are_not_trained_again(run):
    shutil.rmtree(run / "models")
    result = command("verify", run)
    assert result.exit_code == 4
    assert not list(run.glob("models/*/weights.safetensors"))


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    result = command("verify", tmp_path)
    assert result.exit_code == 2
    assert "run folder" in result.output
