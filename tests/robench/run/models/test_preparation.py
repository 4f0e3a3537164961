"""What a training leaves behind, what it refuses before it starts, and a disk that is full."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
import json
import os
import shutil

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from defenses.training.options import TrainingOptions
from robench import plugins
from robench.errors import ConfigError as Refused
from robench.errors import InputError, StorageError
from robench.plan import config
from robench.plan.spec import to_json
from robench.recipe import build
from robench.run.execute import execute, train_only
from robench.run.progress import Quiet
from robench.run.settings import Environment

PLAN = """
name: small
dataset: {name: digits, limit: 24}
models:
  - name: net
    architecture: digits_cnn
    train:
      defense: {natural: {epochs: 3, validation: 0.3, monitor_eps: 0.05, monitor_steps: 2}}
      data: {limit: 120}
"""


class Told(Quiet):
    """Keeps what it is told, and stops the process, so to speak, after an epoch."""

    def __init__(self, stop=None):
        self.rows, self.findings, self.stages, self.stop = [], [], [], stop

    def training(self, row):
        if "step" not in row:
            self.rows.append(row)
            if row["epoch"] == self.stop:
                raise KeyboardInterrupt

    def finding(self, text):
        self.findings.append(text)

    def stage(self, text):
        self.stages.append(text)


def parsed(*overrides, text=PLAN, folder=None):
    file = (folder or config.locate("digits").parent) / "plan.yaml"
    return config.parse(text, file=file, overrides=list(overrides))


def go(plan, out, work=train_only, reporter=None, **options):
    environment = Environment(**{"device": "cpu", **options})
    return work(plan, out, config_text=PLAN, environment=environment, reporter=reporter or Told())


def contents(out):
    """Return the hash of every file of trained networks."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.glob("models/*/*"))
    }


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out, reporter = tmp_path_factory.mktemp("trained"), Told()
    go(parsed(), out, reporter=reporter)
    (folder,) = (out / "models").iterdir()
    return folder, reporter


def test_a_training_leaves_best_last_cards_and_history(trained):
    folder, reporter = trained
    names = {
        "weights.safetensors", "weights.safetensors.sha256", "weights.card.yaml", "last.safetensors",
        "last.safetensors.sha256", "last.card.yaml", "history.csv", "identity.json",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == names
    rows = history(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row, report in zip(rows, reporter.rows, strict=True):
        assert float(row["validation_accuracy"]) == report["validation_accuracy"]
        assert float(row["validation_robust_accuracy"]) <= float(row["validation_accuracy"])
        assert row["validation_images"] == "36"
        assert row["train_robust_accuracy"] == ""


def test_the_card_says_what_the_weights_are(trained):
    folder, reporter = trained
    card = YAML(typ="safe").load((folder / "weights.card.yaml").read_text())
    best = max(reporter.rows, key=lambda row: row["validation_accuracy"])  # the first of equals
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert card["sha256"] == digest
    assert card["identity"][:12] == folder.name.rpartition("-")[2]
    assert (card["checkpoint"], card["epoch"], card["epochs"]) == ("chosen", best["epoch"], 3)
    assert card["held_out"] == {
        "images": 36,
        "accuracy": best["validation_accuracy"],
        "robust_accuracy": best["validation_robust_accuracy"],
        "attack": {"eps": 0.05, "norm": "Linf", "steps": 2},
    }
    assert card["parameters"] == sum(t.numel() for n, t in load_file(folder / "weights.safetensors").items())
    assert card["defense"]["options"]["learning_rate"] == 0.05
    assert (card["data"]["images"], card["data"]["split"], len(card["data"]["digest"])) == (120, "train", 64)
    assert card["seconds"] == pytest.approx(sum(row["seconds"] for row in reporter.rows), abs=1e-3)
    assert card["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    last = YAML(typ="safe").load((folder / "last.card.yaml").read_text())
    assert (last["checkpoint"], last["epoch"]) == ("last", 3)
    assert last["held_out"]["accuracy"] == reporter.rows[-1]["validation_accuracy"]


def test_the_last_weights_are_those_of_keep_last(trained, tmp_path):
    folder, _ = trained
    go(parsed("models.0.train.defense.natural.keep=last"), tmp_path)
    (other,) = (tmp_path / "models").iterdir()
    weights, last = load_file(other / "weights.safetensors"), load_file(folder / "last.safetensors")
    assert all(torch.equal(weights[name], last[name]) for name in weights)
    assert load_file(other / "last.safetensors").keys() == last.keys()


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_killed_training_leaves_its_history_and_resumes_to_the_same_files(trained, tmp_path, stop):
    folder, _ = trained
    with pytest.raises(KeyboardInterrupt):
        go(parsed(), tmp_path, reporter=Told(stop))
    (other,) = (tmp_path / "models").iterdir()
    assert [row["epoch"] for row in history(other)] == [str(e + 1) for e in range(stop)]
    assert (other / "state.pt").is_file()
    go(parsed(), tmp_path)
    for name in ("weights.safetensors", "last.safetensors"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()
    assert not (other / "state.pt").exists()
    assert [{**r, "seconds": ""} for r in history(other)] == [{**r, "seconds": ""} for r in history(folder)]


def test_the_weights_of_a_finished_training_are_found(trained):
    folder, _ = trained
    before, reporter = contents(folder.parent.parent), Told()
    go(parsed(), folder.parent.parent, reporter=reporter)
    assert contents(folder.parent.parent) == before
    assert any("weights found" in text for text in reporter.stages)


@pytest.mark.thorough
def test_a_training_changed_half_way_is_refused_with_the_difference(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go(parsed(), tmp_path, reporter=Told(1))
    before = contents(tmp_path)
    variant = parsed("models.0.train.defense.natural.learning_rate=0.1", "seed=3")
    for work in (train_only, execute):
        with pytest.raises(Refused) as error:
            go(variant, tmp_path, work=work)
        assert error.value.exit_code == 2
        message = str(error.value)
        assert "options.learning_rate (0.1 here, 0.05 in the file); seed (3 here, 0 in the file)" in message
        assert "--force" in message
        assert "net-" in message
        assert contents(tmp_path) == before
    reporter = Told()
    go(parsed(), tmp_path, reporter=reporter)  # the value restored: it resumes
    assert [row["epoch"] for row in reporter.rows] == [2.0, 3.0]


@pytest.mark.thorough
def test_force_gives_the_unfinished_training_up(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go(parsed(), tmp_path, reporter=Told(1))
    variant = parsed("models.0.train.defense.natural.epochs=2")
    go(variant, tmp_path, force=True)
    assert not list(tmp_path.glob("models/*/state.pt"))
    assert len(list(tmp_path.glob("models/*/weights.safetensors"))) == 1
    go(variant, tmp_path)


@pytest.mark.thorough
def test_finished_trainings_and_other_models_are_kept_beside(trained, tmp_path):
    go(parsed(), tmp_path)
    go(parsed("models.0.train.defense.natural.epochs=1"), tmp_path)
    assert len(list(tmp_path.glob("models/*/weights.safetensors"))) == 2
    # An unfinished training of a model whose name only begins alike is none of this one's business.
    with pytest.raises(KeyboardInterrupt):
        go(parsed("models.0.name=net-b"), tmp_path, reporter=Told(1))
    go(parsed("models.0.train.defense.natural.epochs=2"), tmp_path)
    assert len(list(tmp_path.glob("models/*/weights.safetensors"))) == 3


def test_a_class_missing_from_any_training_data_is_named_before_the_first_training(tmp_path):
    text = (
        PLAN
        + """
  - name: few
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 1}}, data: {limit: 9}}
"""
    )
    for work in (train_only, execute):
        with pytest.raises(
            InputError, match=r"plan\.yaml:\d+, training data of 'few'.*none of class 9"
        ) as error:
            go(parsed(text=text), tmp_path, work=work)
        assert error.value.exit_code == 2
        assert list((tmp_path / "models").iterdir()) == []


def failing_write(monkeypatch, number):
    """Let the given fsync (counted from 1) find the disk full, and all after it; return the count so far."""
    count, real = itertools.count(1), os.fsync

    def full(handle):
        if next(count) >= number:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("os.fsync", full)


@pytest.mark.thorough
def test_wherever_the_disk_fills_up_the_old_files_stay_and_the_same_command_goes_on(tmp_path, monkeypatch):
    plan = parsed(
        "models.0.train.data.limit=40", "models.0.train.defense.natural={epochs: 1, validation: 0.3}"
    )
    go(plan, tmp_path / "whole")
    names = ("weights.safetensors", "last.safetensors")
    (folder,) = (tmp_path / "whole" / "models").iterdir()
    expected = {name: (folder / name).read_bytes() for name in names}
    errors = []
    for number in range(4, 200, 4):
        out = tmp_path / str(number)
        with monkeypatch.context() as patch:
            failing_write(patch, number)
            try:
                go(plan, out)
                break
            except StorageError as error:
                errors.append(error)
        for path in out.glob("models/*/*"):
            assert path.suffix != ".robench-tmp"
            assert path.suffix != ".safetensors" or path.read_bytes() == expected[path.name]
        for path in out.glob("models/*/history.csv"):
            assert [row["epoch"] for row in history(path.parent)] == ["1"]
        go(plan, out)
        (model_folder,) = (out / "models").iterdir()
        assert {name: (model_folder / name).read_bytes() for name in names} == expected
    assert all(error.exit_code == 4 and "No space left" in str(error) for error in errors)
    # Identity, state, history, and two checkpoints with hash and card come in this order.
    assert len({error.where.rpartition("/")[2] for error in errors}) >= 3


@pytest.mark.thorough
def test_a_full_disk_while_training_again_leaves_the_old_weights(trained, tmp_path, monkeypatch):
    go(parsed(), tmp_path)
    before = contents(tmp_path)
    failing_write(monkeypatch, 12)
    with pytest.raises(StorageError):
        go(parsed(), tmp_path, force=True)
    after = contents(tmp_path)
    assert all(after[name] == before[name] for name in before if "safetensors" in name or "card" in name)


def test_robust_overfitting_is_a_finding_and_stands_on_the_card(tmp_path, monkeypatch):
    import robench.run.models.finished_training
    import robench.run.models.network_training

    for module in (robench.run.models.network_training, robench.run.models.finished_training):
        monkeypatch.setattr(module, "robust_overfitting", lambda rows: f"fell after {len(rows)} epochs")
    reporter = Told()
    go(parsed("models.0.train.defense.natural.epochs=1"), tmp_path, reporter=reporter)
    (path,) = tmp_path.glob("models/*/weights.card.yaml")
    assert YAML(typ="safe").load(path.read_text())["findings"] == ["fell after 1 epochs"]
    assert reporter.findings == ["net: fell after 1 epochs"]


def test_a_defense_by_its_name_alone_can_be_given_options_on_the_command_line():
    alone = "models.0.train.defense=natural"
    assert to_json(parsed(alone).models[0].train.defense) == {"name": "natural", "options": {}}
    plan = parsed(alone, "models.0.train.defense.natural.epochs=5")
    assert to_json(plan.models[0].train.defense) == {"name": "natural", "options": {"epochs": 5}}


@pytest.mark.parametrize("field", dataclasses.fields(TrainingOptions), ids=lambda field: field.name)
def test_every_common_option_can_be_set_on_the_command_line(field):
    others = {"milestones": [1], "gamma": 0.3, "clip_norm": 1.0, "monitor_eps": "8/255", "epochs": 7}
    words = {"schedule": "cosine", "augmentation": "crop_flip", "average": "ema", "optimizer": "adamw"}
    words |= {"keep": "last", "monitor_norm": "L2", "nesterov": False, "precision": field.default}
    value = {**others, **words}.get(field.name)
    if value is None:
        value = field.default + 1 if isinstance(field.default, int) else field.default / 2
    plan = parsed(f"models.0.train.defense.natural.{field.name}={json.dumps(value)}")
    choice = plan.models[0].train.defense
    recipe = build(plugins.find("defenses", "natural"), choice.options, where="test")
    expected = 8 / 255 if value == "8/255" else tuple(value) if isinstance(value, list) else value
    assert getattr(recipe, field.name) == expected


ONE = """
name: loaded
dataset: {name: digits, limit: 24}
models:
  - {name: net, architecture: digits_cnn, checkpoint: m.pt}
"""
OTHER = "  - {name: averaged, architecture: digits_cnn, checkpoint: m.pt, key: state_dict_ema}\n"


def described(text, folder):
    """Run a plan without attacks and return what the records say of each model."""
    go(parsed(text=text, folder=folder), folder / "out", work=execute)
    records = [json.loads(path.read_text()) for path in (folder / "out" / "units").glob("*.json")]
    return {record["target"]["name"]: record["target"] for record in records}


def test_which_weights_of_a_file_were_taken_is_kept_with_the_model(trained, tmp_path):
    weights = load_file(trained[0] / "weights.safetensors")
    means = {name: tensor + 1 for name, tensor in weights.items()}
    torch.save({"state_dict_ema": means, "state_dict": weights}, tmp_path / "m.pt")
    descriptions = described(ONE + OTHER, tmp_path)
    details = descriptions["net"]["details"]
    assert details["checkpoint_key"] == "state_dict"
    assert "`key: state_dict_ema`" in details["checkpoint_notes"][0]
    assert descriptions["averaged"]["details"]["checkpoint_key"] == "state_dict_ema"
    assert descriptions["averaged"]["fingerprint"] != descriptions["net"]["fingerprint"]


@pytest.mark.thorough
def test_the_card_beside_a_checkpoint_is_kept_and_makes_no_other_model(trained, tmp_path):
    descriptions = []
    for name in ("with", "without"):
        here = tmp_path / name
        here.mkdir()
        shutil.copy(trained[0] / "weights.safetensors", here / "m.safetensors")
        if name == "with":
            shutil.copy(trained[0] / "weights.card.yaml", here / "m.card.yaml")
        descriptions.append(described(ONE.replace("m.pt", "m.safetensors"), here)["net"])
    card = descriptions[0]["details"]["checkpoint_card"]
    assert (0 <= card["accuracy"] <= 1, card["images"]) == (True, 36)
    assert not [name for name in descriptions[1]["details"] if name.startswith("checkpoint_")]
    assert descriptions[0]["fingerprint"] == descriptions[1]["fingerprint"]
