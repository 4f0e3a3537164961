"""Runs with attacks and defenses of a user's file: consent first; only what is edited is done anew."""

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reports.board.run_folder import read_trainings
from robench.cli import app
from robench.record.store import Store

CODE = """
import torch
import torch.nn.functional as F
from dataclasses import dataclass, replace
from typing import ClassVar
from robench.model import DefenseInfo, GradientSource

def up(model, x, y, eps, share=1.0):
    return (x + share * eps).clamp(0, 1)

def fill(network, images, value=0.01):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)

@dataclass(frozen=True, kw_only=True)
class Dim:
    "Dims every image."
    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Dim", paper="none", stage="inference", attacked_through="the exact gradient"
    )
    factor: float = 0.9
    def offers(self, beneath):
        return tuple(beneath)
    def __call__(self, model, *, training_data, seed):
        def through(source):
            return GradientSource(source.name, lambda x: source.surrogate(self.factor * x), source.output)
        class Dimmed(torch.nn.Module):
            def __init__(self, base, factor):
                super().__init__()
                self.base, self.factor, self.training = base, factor, base.training
            def forward(self, x):
                return self.base(self.factor * x)
        sources = {name: through(source) for name, source in model.sources.items()}
        return replace(model, net=Dimmed(model.net, self.factor), sources=sources, neighbourhood=None)
"""
PLAN = """
name: mine
dataset: {name: digits, limit: 8}
transfer: false
models:
  - name: plain
    architecture: digits_cnn
    train: {defense: {"mine.py:fill": {value: 0.02}}, data: {limit: 20}}
  - {name: dimmed, features_of: plain, inference: "mine.py:Dim"}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm, "mine.py:up", {"mine.py:up": {share: 0.5}, label: half}]}
"""
FILE, FOLDER = Path("mine.py"), Path("runs/mine")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FILE.write_text(CODE)
    Path("mine.yaml").write_text(PLAN)

    def call(*words):
        words = words or ("run", "mine.yaml", "--trust-code", "--workers", "0", "--device", "cpu")
        return CliRunner().invoke(app, list(words))

    return call


def counts(outcome):
    assert outcome.exit_code == 0, outcome.output
    return next(line for line in outcome.stdout.splitlines() if "units finished" in line).split(";")[0]


def test_nothing_is_done_without_consent(run):
    FILE.write_text(CODE + "\nraise SystemExit(0)")
    refusal = run("run", "mine.yaml", "--workers", "0", "--device", "cpu")
    assert refusal.exit_code == 2
    assert "--trust-code" in refusal.stderr
    assert not list(FOLDER.glob("units/*")) + list(FOLDER.glob("models/*"))
    failure = run()
    assert failure.exit_code == 2
    assert "mine.py to be imported" in failure.stderr


@pytest.mark.thorough
def test_what_is_edited_is_done_anew_and_nothing_else(run):
    assert counts(run()) == "8 units finished, 0 cached, 0 failed"
    assert counts(run()) == "0 units finished, 8 cached, 0 failed"
    before = {record.key for record in Store(FOLDER).read_records()}
    attacks = {record.attack.label: record.attack for record in Store(FOLDER).read_records()}
    assert attacks["up"].name == attacks["half"].name == "mine.py:up"
    assert len(attacks["up"].code_sha256) == 64
    (weights,) = FOLDER.glob("models/plain-*")
    holds = run("verify", str(FOLDER), "--trust-code", "--device", "cpu")
    for name in ("hashes", "verdicts", "repeats"):  # of 8-bit images it says nothing: none was broken
        assert f"ok     {name}" in holds.stdout, holds.output
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "mine.py").write_text(CODE)
    (elsewhere / "mine.yaml").write_text(PLAN)
    words = [
        "run",
        "elsewhere/mine.yaml",
        "-o",
        str(FOLDER),
        "--trust-code",
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    assert counts(run(*words)) == "0 units finished, 8 cached, 0 failed"
    FILE.write_text(CODE.replace("share * eps", "eps * share"))
    counts(run())
    records = [r for r in Store(FOLDER).read_records() if r.key in before]
    # The training was done again, and came to the same weights; the defense in front is another one.
    assert {(r.target.name, r.attack.label) for r in records} == {("plain", "clean"), ("plain", "fgsm")}
    assert len(list(FOLDER.glob("models/plain-*"))) == 2
    assert weights.is_dir()


@pytest.mark.thorough
def test_records_name_the_defense_and_the_folder_holds_the_history(run):
    counts(run())
    details = {record.target.name: record.target.details for record in Store(FOLDER).read_records()}
    assert details["dimmed"]["inference"] == [{"defense": "mine.py:Dim", "factor": 0.9}]
    assert "inference" not in details["plain"]
    for record in Store(FOLDER).read_records():  # as they were written before they named the defense
        own = {name: value for name, value in record.target.details.items() if name != "inference"}
        target = dataclasses.replace(record.target, details=own)
        Store(FOLDER).write(dataclasses.replace(record, target=target), replace=True)
    assert not any("inference" in r.target.details for r in Store(FOLDER).read_records())
    holds = run("verify", str(FOLDER), "--trust-code", "--device", "cpu")
    assert "ok     claims" in holds.stdout, holds.output
    (training,) = read_trainings(FOLDER)
    assert training.card["sha256"] == details["plain"]["checkpoint"]
    assert [row["epoch"] for row in training.history] == [1]


@pytest.mark.thorough
def test_an_attack_of_another_file_leaves_the_rest_as_it_is(run):
    Path("attack.py").write_text(CODE)
    Path("mine.yaml").write_text(PLAN.replace('"mine.py:up"', '"attack.py:up"'))
    counts(run())
    Path("attack.py").write_text(CODE.replace("share * eps", "eps * share"))
    assert counts(run()) == "4 units finished, 4 cached, 0 failed"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("{value: 0.02}", "{valu: 0.02}", "option of fill, got 'valu'"),
        ('inference: "mine.py:Dim"', 'inference: "mine.py:fill"', "a defense of inference, got 'fill'"),
        ('{"mine.py:fill": {value: 0.02}}', '"mine.py:Dim"', "a defense of training, got 'Dim'"),
        ("{share: 0.5}", "{shares: 0.5}", "option of up, got 'shares'"),
        ('"mine.py:up",', '"mine.py:fill",', "fill(model, x, y, eps)"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(run, before, after, text):
    assert before in PLAN
    Path("mine.yaml").write_text(PLAN.replace(before, after))
    refusal = run()
    assert refusal.exit_code == 2, refusal.output
    assert text in " ".join(refusal.stderr.split())
    assert not list(FOLDER.glob("models/*"))


def test_two_attacks_of_one_name_need_labels(run):
    Path("mine.yaml").write_text(PLAN.replace(", label: half", ""))
    refusal = run()
    assert refusal.exit_code == 2
    assert "'up' twice" in refusal.stderr
