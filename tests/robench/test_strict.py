"""`robench run --strict`: a row in doubt is exit code 1, a sound one is not."""

import pytest
from typer.testing import CliRunner

from robench.cli.app import app

NETS = """
import torch
from sklearn.datasets import load_digits
from torch import nn


class LabelOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x):
        z = self.body(x)
        return nn.functional.one_hot(z.argmax(1), 10).to(z.dtype) + 0 * z


def label_only():
    return LabelOnly()


class NearestMean(nn.Module):
    def __init__(self):
        super().__init__()
        found = load_digits()
        x, y = torch.tensor(found.data / 16), torch.tensor(found.target)
        means = torch.stack([x[y == c].mean(0) for c in range(10)]).float()
        self.register_buffer("means", means)

    def forward(self, x):
        return 20 * (x.flatten(1) @ self.means.T - self.means.square().sum(1) / 2)


def plain():
    return NearestMean()
"""
PLAN = """
name: strict
dataset: {{name: digits, limit: 100}}
models: [{{name: net, architecture: "nets.py:{maker}"}}]
threats: [{{norm: Linf, eps: 0.1, attacks: [{attack}]}}]
"""


IFGSM = "{ifgsm: {steps: 20, step_size: 0.01}}"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("maker", "attack", "code"),
    [
        ("plain", IFGSM, ""),
        ("label_only", IFGSM, "label-only, low-clean"),
        ("plain", "fgsm", "weak-attacks-only"),
    ],
)
def test_strict_turns_a_standing_finding_into_exit_code_1(tmp_path, maker, attack, code):
    (tmp_path / "nets.py").write_text(NETS)
    config = tmp_path / "c.yaml"
    config.write_text(PLAN.format(maker=maker, attack=attack))
    words = ["run", str(config), "-o", str(tmp_path / "run"), "--trust-code", "-q", "--workers", "0"]
    assert CliRunner().invoke(app, words).exit_code == 0
    strict = CliRunner().invoke(app, [*words, "--strict"])
    assert strict.exit_code == bool(code), strict.output
    doubts = [line for line in strict.output.splitlines() if line.startswith("in doubt: ")]
    assert doubts == ([f"in doubt: net: {code}"] if code else [])
