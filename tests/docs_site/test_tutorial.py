"""What docs/tutorial.md shows runs as it stands there, in one folder, from beginning to end."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robench.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text("utf-8")
BLOCK = re.compile(r"<!-- (file|run|python|output)(?:: ([\w.]+))? -->\n```\w*\n(.*?)```", re.DOTALL)


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_page_runs_from_beginning_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    screens = {}
    for kind, name, text in BLOCK.findall(PAGE):
        if kind == "file":
            Path(name).write_text(text, "utf-8")
        elif kind == "python":
            exec(text, {})
        elif kind == "run":
            for line in text.splitlines():
                outcome = CliRunner().invoke(app, shlex.split(line)[1:])
                assert outcome.exit_code == 0, (line, outcome.output)
                screens[line] = outcome.stdout
    board = next(text for line, text in screens.items() if line.startswith("robench run"))
    assert all(name in board for name in ("pgd-trained", "natural-wnll", "square", "Worst case"))
    assert Path("runs/mine/report.html").exists()
    assert Path("tradeoff.svg").read_text("utf-8").startswith("<?xml")
    assert "Run(" in capsys.readouterr().out


def test_every_block_is_run_or_shown():
    assert len(BLOCK.findall(PAGE)) == PAGE.count("```") // 2


def test_a_typo_is_answered_as_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {name: text for kind, name, text in BLOCK.findall(PAGE) if kind == "file"}
    Path("net.py").write_text(files["net.py"])
    Path("mine.yaml").write_text(
        files["mine.yaml"].replace("eps: 0.1\n    attacks", "epsilon: 0.1\n    attacks")
    )
    outcome = CliRunner().invoke(app, ["check", "mine.yaml"])
    assert outcome.exit_code == 2
    message = " ".join(outcome.stderr.split())
    assert "mine.yaml:14" in message
    assert "'epsilon'" in message
    assert "Did you mean 'eps'?" in message
