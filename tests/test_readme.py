"""What the README shows runs as it stands there."""

import re
from pathlib import Path

import pytest

from robench import plugins

README = Path(__file__).parents[1] / "README.md"
EXAMPLE = re.compile(r"<!-- example: tests run this block -->\n```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLE.findall(README.read_text("utf-8")))
def test_python_example_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, str(README), "exec"), names)
    assert names["robench"].__version__


def test_both_examples_were_found():
    assert len(EXAMPLE.findall(README.read_text("utf-8"))) == 2


def test_the_configuration_is_valid(tmp_path):
    from robench.plan.config import parse

    (block,) = re.findall(r"```yaml\n(# mine.yaml.*?)```", README.read_text("utf-8"), re.DOTALL)
    (tmp_path / "nets.py").write_text("def make(): ...")
    (tmp_path / "mine.safetensors").write_bytes(b"")
    plan = parse(block, file=tmp_path / "mine.yaml", overrides=None)
    assert [m.name for m in plan.models] == ["mine", "mine-wnll"]
    assert plan.threats[0].eps == 8 / 255


def test_every_attack_named_is_installed():
    for name in ("fgsm", "ifgsm", "pgd", "cw"):
        for prefix in ("", "art/", "torchattacks/"):
            assert prefix + name in plugins.names("attacks")
