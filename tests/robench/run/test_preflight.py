"""What a run refuses, `robench check --preflight` refuses, with the same words and without a training."""

import pytest
from typer.testing import CliRunner

from robench.cli.app import app

CONFIG = """\
name: b
dataset: {DATA}
models:
  - {name: a, architecture: ARCH, MORE}
threats:
  - {norm: Linf, eps: 0.1, attacks: [ATTACKS]}
"""


@pytest.fixture
def said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words, data="name: digits, limit: 6", architecture="digits_cnn", more="", attacks="fgsm"):
        text = CONFIG.replace("DATA", data).replace("ARCH", architecture).replace("ATTACKS", attacks)
        (tmp_path / "c.yaml").write_text(text.replace(", MORE", f", {more}" if more else ""))
        return CliRunner().invoke(
            app, [words[0], "c.yaml", *words[1:], "--device", "cpu"], prog_name="robench"
        )

    return call


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": "name: digits, indices: [0, 99999]"},
        {"data": "name: mnist, limit: 6", "architecture": "small_cnn"},
        {"more": "checkpoint: nowhere.pt"},
        {"more": "head: {wnll: {protocol: independent, m: 15, n: 8, template: 300000}}"},
        {"attacks": "foolbox/EADAttack"},
        {"attacks": "DIFGSN"},
        {"attacks": "torchattack/DR"},
        {"attacks": "{branch_and_bound: {}}", "more": "inference: jpeg"},
        {"more": "train: {defense: {trades: {eps: 0.1}}, data: {indices: [1, 2]}}"},
    ],
)
def test_what_a_run_refuses_a_check_refuses_in_the_same_words(said, wrong, monkeypatch):
    monkeypatch.setenv("ROBENCH_CACHE", "nowhere")
    monkeypatch.delenv("ROBENCH_DATA_ROOT", raising=False)  # MNIST must be missing
    run = said("run", "--workers", "0", "-q", **wrong)
    check = said("check", "--preflight", **wrong)
    assert run.exit_code == check.exit_code == 2, (run.output, check.output)
    assert check.stderr == run.stderr
    assert "valid" not in check.stdout


def test_what_a_run_takes_is_valid_and_nothing_is_trained_or_written(said, tmp_path):
    result = said("check", "--preflight", more="train: {defense: {natural: {epochs: 500}}}")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "data: Digits 8x8 test, 6 images (1, 8, 8)",
        "model a: ok on cpu, gradient sources: exact",
        "a run would leave 2 units",
        "c.yaml: valid: 1 model, 1 threat, 1 attack",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


@pytest.mark.thorough
def test_a_slow_attack_through_many_sources_is_warned_of(said):
    head = "head: {wnll: {protocol: independent, m: 15, n: 8, template: 300}}"
    result = said("check", "--preflight", more=head, attacks="autoattack, fgsm")
    assert result.exit_code == 0, result.output
    assert "a: slow attacks (autoattack) go through each of its 4 gradient sources" in result.stdout
    assert "slow" not in said("check", "--preflight", more=head, attacks="fgsm").stdout
    assert "slow" not in said("check", "--preflight", attacks="autoattack").stdout


BOUNDED = """\
name: b
dataset: {name: digits, limit: 6}
models:
  - {name: net, architecture: "net.py:LAYERS"}
  - {name: wnll, features_of: net, head: {wnll: {m: 15, n: 8, template: 300, protocol: independent}}}
  - {name: knn, features_of: net, head: {knn: {k: 5, template: 300}}}
threats:
  - {norm: Linf, eps: 0.01, attacks: [fgsm], bounds: [{crown: {}, models: [wnll, knn]}]}
"""

NETWORKS = """\
from torch import nn

def relu():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

def gelu():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 10))
"""


@pytest.fixture
def bounded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORKS)

    def call(layers, *words):
        (tmp_path / "c.yaml").write_text(BOUNDED.replace("LAYERS", layers))
        options = ["--trust-code", "--device", "cpu"]
        return CliRunner().invoke(app, [words[0], "c.yaml", *words[1:], *options], prog_name="robench")

    return call


def test_heads_on_a_network_of_ones_own_are_bounded(bounded):
    result = bounded("relu", "check", "--preflight")
    assert result.exit_code == 0, result.output
    assert "model wnll: ok on cpu" in result.stdout
    assert "model knn: ok on cpu" in result.stdout


@pytest.mark.parametrize("words", [("run", "--workers", "0"), ("check", "--preflight")])
def test_a_network_without_bounds_is_refused_before_a_model_is_prepared(bounded, words):
    result = bounded("gelu", *words)
    assert result.exit_code == 2
    assert "model 'wnll', layer '2' (GELU)" in result.stderr
    assert "preparing" not in result.output
