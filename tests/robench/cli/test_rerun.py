"""A run is repeated from its folder alone, also where its configuration names files beside itself."""

import json

import pytest
from typer.testing import CliRunner

from robench.cli import app

NET = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""
PLAN = """
name: mine
dataset: {name: digits, limit: 20}
models: [{name: net, architecture: "net.py:make"}]
threats: [{norm: Linf, eps: 0.1, attacks: [fgsm]}]
"""
OPTIONS = ("--trust-code", "--workers", "0", "--device", "cpu", "-q")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "net.py").write_text(NET)
    (tmp_path / "plans" / "mine.yaml").write_text(PLAN)
    call("run", "plans/mine.yaml", "-o", "first", "--set", "threats.0.eps=0.2")
    return tmp_path


def call(*words, code=0):
    outcome = CliRunner().invoke(app, [*map(str, words), *OPTIONS])
    assert outcome.exit_code == code, outcome.output + outcome.stderr
    return outcome.output + outcome.stderr


def test_files_beside_the_configuration_are_found_again(folder):
    assert "0 differ" in call("rerun", "first", "-o", "again")
    assert json.loads((folder / "again" / "plan.json").read_text())["threats"][0]["eps"] == 0.2


def test_a_changed_copy_of_the_configuration_is_not_what_is_repeated(folder):
    copy = folder / "first" / "config.yaml"
    copy.write_text(copy.read_text().replace("eps: 0.1", "eps: 0.3"))
    assert "0 differ" in call("rerun", "first", "-o", "again")


def test_without_a_plan_that_can_be_read_the_configuration_has_to_be_named(folder):
    plan = folder / "first" / "plan.json"
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps({name: value for name, value in content.items() if name != "data"}))
    assert "with --config" in call("rerun", "first", "-o", "again", code=2)


def test_the_configuration_s_own_file_may_be_named_too(folder):
    assert "0 differ" in call("rerun", "first", "-o", "again", "--config", "plans/mine.yaml")
