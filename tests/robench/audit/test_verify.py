"""`robench verify` believes a run that holds, and finds every kind of tampering."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from robench import plugins
from robench.audit.verify import check_files, read_plan
from robench.cli.app import app
from robench.cli.verify import _recorded_threads
from robench.plan.spec import to_json
from robench.record.seal import sealed_text
from robench.record.store import Store
from tests.records import plain_of

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
    outcome = command("run", folder / "tiny.yaml", "-o", folder / "run", "--workers", "0", "-q")
    assert outcome.exit_code == 0, outcome.output
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def failed(result):
    return {line.split()[1] for line in result.output.splitlines() if line.startswith("FAILED")}


@pytest.mark.thorough
def test_an_honest_run_holds(finished):
    result = command("verify", finished)
    assert result.exit_code == 0, result.output
    assert not failed(result)
    names = [line.split()[1] for line in result.output.splitlines() if line.startswith("ok")]
    assert names == [
        "records", "tables", "config", "hashes", "claims", "verdicts", "images", "batches", "8", "repeats",
    ]  # fmt: skip


UNTRAINABLE = """
dataset: {name: digits, limit: 100}
models:
  - {name: good, architecture: digits_cnn, train: {defense: {natural: {epochs: 1}}}}
  - {name: bad, architecture: digits_cnn, train: {defense: {natural: {epochs: 1, learning_rate: 1.0e+9}}}}
threats: [{norm: Linf, eps: 0.1, attacks: [fgsm]}]
"""


@pytest.mark.thorough
def test_a_run_in_which_a_training_failed_is_verified_but_for_that_model(tmp_path):
    (tmp_path / "nan.yaml").write_text(UNTRAINABLE)
    first = command("run", tmp_path / "nan.yaml", "-o", tmp_path / "run", "--workers", "0", "-q")
    assert first.exit_code == 3, first.output
    result = command("verify", tmp_path / "run")
    assert result.exit_code == 1
    assert failed(result) == {"models"}
    assert "1 of 2 models made: bad: " in result.output
    assert "ok     verdicts" in result.output
    assert "incomplete, 1 of 2 models made; what is there holds" in result.output
    shutil.rmtree(tmp_path / "run" / "models")  # weights of the other that were there are another matter
    assert "got none for good" in command("verify", tmp_path / "run").output


@pytest.mark.thorough
def test_a_run_with_gradients_in_bfloat16_is_verified_with_them(tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    words = ("run", tmp_path / "tiny.yaml", "-o", tmp_path / "run", "--workers", "0", "-q")
    first = command(*words, "--engine", "bfloat16")
    assert first.exit_code == 0, first.output
    result = command("verify", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert not failed(result)


def test_the_plan_comes_back_from_its_json(finished):
    plan = read_plan(Store(finished))
    assert to_json(plan) == json.loads((finished / "plan.json").read_text())


@pytest.mark.thorough
def test_a_number_changed_in_a_table_is_found(run):
    table = run / "leaderboard.csv"
    table.write_text(table.read_text().replace("0.", "1.", 1))
    result = command("verify", run)
    assert result.exit_code == 1
    assert failed(result) == {"tables"}


@pytest.mark.parametrize(
    ("threads", "count"), [(1, 1), (10**6, None), (0, None), ("2", None), (None, None), (True, 1)]
)
def test_a_run_is_verified_with_as_many_threads_as_it_was_made_with(run, threads, count):
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "threads": threads}))
    assert _recorded_threads(Store(run)) == count


def test_a_changed_configuration_is_found_and_a_run_that_notes_none_is_believed(run):
    config, facts = run / "config.yaml", json.loads((run / "run.json").read_text())
    assert hashlib.sha256(config.read_bytes()).hexdigest() == facts["config"]
    config.write_text(config.read_text() + "# a remark\n")
    (check,) = [check for check in check_files(Store(run)) if not check.holds]
    assert (check.name, check.wrong) == ("config", 1)
    assert "plan.json says what was" in check.evidence
    config.unlink()
    assert [check.name for check in check_files(Store(run)) if not check.holds] == ["config"]
    (run / "run.json").write_text(
        json.dumps({name: fact for name, fact in facts.items() if name != "config"})
    )
    assert all(check.holds for check in check_files(Store(run)))


@pytest.mark.thorough
def test_a_lost_unit_is_found(run):
    next((run / "units").glob("*.json")).unlink()
    result = command("verify", run)
    assert result.exit_code == 1
    assert "records" in failed(result)


def cut(run, *, units):
    """Make of a finished run what is there of one that was stopped after some units."""
    facts = json.loads((run / "run.json").read_text())
    keys = facts["units"][:units]
    (run / "run.json").write_text(json.dumps({**facts, "units": keys, "status": "interrupted"}))
    (run / "finished.txt").write_text("".join(f"{line}\n" for line in [facts["plan"], *keys]))
    for path in (run / "units").glob("*.json"):
        if path.stem not in keys:
            path.unlink()
    for name in ("leaderboard.csv", "leaderboard.md", "measurements.csv", "curves.csv"):
        (run / name).unlink()
    return facts["expected"]


@pytest.mark.thorough
def test_a_run_that_has_not_ended_is_said_to_be_so_and_what_is_there_is_verified(run):
    total = cut(run, units=4)
    result = command("verify", run)
    assert result.exit_code == 1
    assert failed(result) == {"units"}, result.output
    assert f"4 of {total} units finished: the run has not ended" in result.output
    assert "ok     hashes    4 looked at, 0 differ" in result.output
    assert result.output.endswith(f"incomplete, 4 of {total} units finished; what is there holds\n")


@pytest.mark.thorough
def test_changed_verdicts_in_a_run_that_has_not_ended_are_found(run):
    cut(run, units=4)
    for path, record in attacked(run):
        record["columns"]["status"] = ["robust"] * len(record["columns"]["status"])
        forge(path, record)
    result = command("verify", run)
    assert {"units", "verdicts"} <= failed(result), result.output
    assert result.output.endswith("what is there does NOT hold\n")


@pytest.mark.thorough
def test_a_unit_that_was_taken_away_from_a_finished_run_is_missed(run):
    facts = json.loads((run / "run.json").read_text())
    total, key = facts["expected"], facts["units"].pop()
    (run / "run.json").write_text(json.dumps({**facts, "expected": total - 1}))
    (run / "units" / f"{key}.json").unlink()
    report(run)
    result = command("verify", run)
    assert result.exit_code == 1
    assert failed(result) == {"units"}, result.output
    assert f"{total - 1} of {total} units finished: run.json says that the run has finished" in result.output


def test_a_run_in_which_nothing_is_finished_has_nothing_to_verify(run):
    cut(run, units=0)
    result = command("verify", run)
    assert result.exit_code == 1
    assert result.output.endswith("no unit is finished, so there is nothing to verify\n")


@pytest.mark.thorough
def test_changed_verdicts_are_found(run):
    for path in (run / "units").glob("*.json"):
        record = plain_of(path)
        if record["attack"]["label"] != "clean":
            record["columns"]["status"] = ["robust"] * len(record["columns"]["status"])
            forge(path, record)
    result = command("verify", run)
    assert result.exit_code == 1
    assert {"verdicts", "repeats", "tables"} <= failed(result)


@pytest.mark.thorough
def test_changed_images_are_found(run):
    for path in (run / "adv").glob("*.safetensors"):
        tensors = load_file(path)
        tensors["x_adv"] = 1 - tensors["x_adv"]
        save_file(tensors, path)
    result = command("verify", run)
    assert result.exit_code == 1
    assert "verdicts" in failed(result)


def attacked(run):
    """Yield path and content of the records of attacks."""
    for path in sorted((run / "units").glob("*.json")):
        record = plain_of(path)
        if record["attack"]["label"] != "clean":
            yield path, record


def forge(path, record):
    """Write a record with the checksum that it must have, as a forger would."""
    path.write_text(sealed_text(json.dumps({k: v for k, v in record.items() if k != "sha256"})) + "\n")


def report(run):
    """Make the tables agree with the records again, as a forger would."""
    records = Store(run).read_records()
    for name in ("csv", "markdown"):
        plugins.find("reports", name)()(records, run)


@pytest.mark.thorough
def test_one_verdict_turned_is_found_even_where_the_tables_agree(run):
    path, record = next(
        (path, record) for path, record in attacked(run) if "broken" in record["columns"]["status"]
    )
    at = record["columns"]["status"].index("broken")
    record["columns"]["status"][at] = "robust"
    forge(path, record)
    report(run)
    result = command("verify", run)
    assert result.exit_code == 1
    assert "verdicts" in failed(result)
    assert "tables" not in failed(result)
    assert path.stem in result.output


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("threat", "eps", 0.1),
        ("threat", "knowledge", []),
        ("target", "name", "another"),
        ("source", "gradient_source", "kernel"),
        ("attack", "options", {"steps": 1000}),
        ("dataset", "n", 5000),
        ("columns", "l2", [0.001] * 12),
        ("columns", "label", [0] * 12),
        ("columns", "forwards", [1e6] * 12),
        ("columns", "index", list(range(100, 112))),
        ("columns", "first_passes", [1] * 12),
        ("columns", "tries", [9] * 12),
    ],
)
def test_what_a_record_says_beside_its_verdicts_is_made_again(run, part, field, value):
    path, record = next(attacked(run))
    record[part][field] = value
    forge(path, record)
    report(run)
    result = command("verify", run)
    assert result.exit_code == 1
    assert "claims" in failed(result)


@pytest.mark.thorough
def test_a_record_of_fewer_images_is_found(run):
    path, record = next(attacked(run))
    record["columns"] = {name: values[:-1] for name, values in record["columns"].items()}
    forge(path, record)
    report(run)
    result = command("verify", run)
    assert result.exit_code == 1, result.output
    assert "claims" in failed(result)
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.thorough
def test_a_finding_taken_away_is_found(run):
    changes = 0
    for path in (run / "units").glob("*.json"):
        record = plain_of(path)
        changes += bool(record["findings"])
        forge(path, {**record, "findings": []})
    report(run)
    assert changes
    assert "claims" in failed(command("verify", run))


@pytest.mark.thorough
def test_one_bit_of_an_image_is_found(run):
    _, record = next(attacked(run))
    images = run / "adv" / f"{record['provenance']['crafted']}.safetensors"
    tensors = load_file(images)
    tensors["x_adv"].view(torch.int32).flatten()[0] ^= 1  # the last bit of the first pixel: no verdict turns
    save_file(tensors, images)
    result = command("verify", run)
    assert result.exit_code == 1
    assert "claims" in failed(result)
    assert "images of" in result.output


@pytest.mark.thorough
def test_swapped_files_are_found(run):
    (first, one), (second, other) = list(attacked(run))[:2]
    text = first.read_text()
    first.write_text(second.read_text())
    second.write_text(text)
    assert "records" in failed(command("verify", run))
    forge(first, {**other, "key": one["key"]})  # a forger writes the right key into it
    forge(second, {**one, "key": other["key"]})
    report(run)
    assert "claims" in failed(command("verify", run))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["run.json", "plan.json"])
@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"units": 3}', '"x"'])
def test_nonsense_in_a_file_of_the_run_is_no_traceback(run, name, text):
    (run / name).write_text(text)
    result = command("verify", run)
    assert result.exit_code in {1, 2, 4}, result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


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
    assert "has other weights than the run was made with" in " ".join(result.output.split())
    assert "verdicts" not in result.output


def test_lost_weights_are_not_trained_again(run):
    shutil.rmtree(run / "models")
    result = command("verify", run)
    assert result.exit_code == 4
    assert not list(run.glob("models/*/weights.safetensors"))


@pytest.mark.thorough
def test_code_of_a_file_needs_consent_before_anything_is_looked_at(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "dataset: {name: digits, limit: 4}\n"
        "models: [{name: mine, architecture: 'net.py:make', train: {defense: {natural: {epochs: 1}}}}]\n"
        "threats: [{norm: Linf, eps: 0.1, attacks: [fgsm]}]\n"
    )
    run = ("run", tmp_path / "mine.yaml", "-o", tmp_path / "run", "--workers", "0", "-q")
    assert command(*run).exit_code == 2
    assert command(*run, "--trust-code").exit_code == 0
    refusal = command("verify", tmp_path / "run")
    assert refusal.exit_code == 2
    assert "permission to run code" in refusal.output
    assert "looked at" not in refusal.output
    assert command("verify", tmp_path / "run", "--trust-code").exit_code == 0


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    result = command("verify", tmp_path)
    assert result.exit_code == 2
    assert "run folder" in result.output


@pytest.mark.thorough
def test_a_run_of_random_models_holds_and_its_draws_cannot_be_changed(tmp_path):
    config = (
        CONFIG.partition("  - name: graph")[0]
        + """\
  - {name: smooth, features_of: net, inference: {smoothing: {sigma: 0.1, votes: 3, samples: 2}}}
threats:
  - {norm: Linf, eps: 0.3, attacks: [fgsm, {pgd: {steps: 3}}]}
draws: 3
"""
    )
    (tmp_path / "tiny.yaml").write_text(config)
    outcome = command("run", tmp_path / "tiny.yaml", "-o", tmp_path / "run", "--workers", "0", "-q")
    assert outcome.exit_code == 0, outcome.output
    assert command("verify", tmp_path / "run").exit_code == 0
    for path in (tmp_path / "run" / "units").glob("*.json"):
        record = plain_of(path)
        if texts := record["columns"].get("stood"):
            assert {len(draws) for draws in texts} == {3}
            record["columns"]["stood"] = ["111"] * len(texts)
            forge(path, record)
    assert {"verdicts", "tables"} <= failed(command("verify", tmp_path / "run"))
