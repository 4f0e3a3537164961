"""`robench run --strict`: a row in doubt is exit code 1, a sound one is not."""

import pytest
from typer.testing import CliRunner

from robench.cli.app import app

NETS = """
import torch
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


def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""
PLAN = """
name: strict
dataset: {{name: digits, limit: 30}}
models: [{{name: net, architecture: "nets.py:{maker}"}}]
threats: [{{norm: Linf, eps: 0.1, attacks: [fgsm]}}]
"""


@pytest.mark.parametrize(("maker", "code"), [("plain", 0), ("label_only", 1)])
def test_strict_turns_a_standing_finding_into_exit_code_1(tmp_path, maker, code):
    (tmp_path / "nets.py").write_text(NETS)
    config = tmp_path / "c.yaml"
    config.write_text(PLAN.format(maker=maker))
    words = ["run", str(config), "-o", str(tmp_path / "run"), "--trust-code", "-q"]
    assert CliRunner().invoke(app, words).exit_code == 0
    strict = CliRunner().invoke(app, [*words, "--strict"])
    assert strict.exit_code == code, strict.output
    assert ("in doubt: net: label-only" in strict.output) == bool(code)
