"""What docs/quickstart-eval.md shows runs as it stands there."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robench import plugins
from robench.cli import app
from robench.plan.presets import PRESETS, name_of

PAGE = (Path(__file__).parents[1] / "docs" / "quickstart-eval.md").read_text("utf-8")
PYTHON = re.compile(r"<!-- example: tests run this block -->\n```python\n(.*?)```", re.DOTALL)


@pytest.mark.thorough
def test_the_python_example_runs(capsys):
    (code,) = PYTHON.findall(PAGE)
    exec(compile(code, "quickstart-eval.md", "exec"), {"__name__": "quickstart"})
    assert "Attacked(pgd, Linf 8/255" in capsys.readouterr().out


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_of_presets_names_every_attack_of_each(name):
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
    cells = line.split(" | ")[1:3]
    for cell, attacks in zip(cells, (PRESETS[name].bounded, PRESETS[name].smallest), strict=True):
        for attack in attacks:
            title = plugins.find("attacks", name_of(attack)).info.title
            assert title.lower() in cell.lower(), (title, cell)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(# mine\.py\n.*?)```", PAGE, re.DOTALL)
    Path("mine.py").write_text(code)
    return "mine.py"


@pytest.mark.thorough
def test_the_file_of_an_attack_and_a_defense_is_trained_and_attacked_with(file):
    (block,) = re.findall(r"```yaml\n# mine\.yaml\n(.*?)```", PAGE, re.DOTALL)
    small = (
        block.replace("limit: 100", "limit: 12")
        .replace("epochs: 10", "epochs: 1")
        .replace("steps: 20", "steps: 2")
    )
    Path("mine.yaml").write_text(small)
    words = ["run", "mine.yaml", "--trust-code", "--workers", "0", "--device", "cpu"]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    assert "signs" in outcome.stdout


@pytest.mark.thorough
@pytest.mark.parametrize("target", ["attacks:mine.py:signs", "defenses:mine.py:plain"])
def test_both_keep_the_laws(file, target):
    outcome = CliRunner().invoke(app, ["check", target, "--trust-code"])
    assert outcome.exit_code == 0, outcome.output
    assert "0 failed" in outcome.stdout
    refusal = CliRunner().invoke(app, ["check", target])
    assert refusal.exit_code == 2
    assert "--trust-code" in refusal.stderr


def test_a_bare_reference_is_told_the_kinds(file):
    outcome = CliRunner().invoke(app, ["check", "mine.py:signs", "--trust-code"])
    assert outcome.exit_code == 2
    assert "attacks:mine.py:signs or defenses:mine.py:signs" in " ".join(outcome.stderr.split())


def test_every_preset_is_in_the_table():
    for name, preset in PRESETS.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
        assert f"{preset.limit:,}" in row if preset.limit else row.endswith("| all |")
