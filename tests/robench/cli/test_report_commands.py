"""Commands that read run folders: whatever is in the folder, a clear message or a page, never a traceback."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from robench.cli import app
from robench.record.store import Store
from tests.reports.html.synthetic import run_folder
from tests.reports.paper.made import B, R, record

COMMANDS = {
    "leaderboard": ["leaderboard", "{run}"],
    "csv": ["leaderboard", "{run}", "--format", "csv"],
    "report": ["report", "{run}"],
    "cite": ["cite", "{run}"],
    "table": ["table", "{run}", "--paper", "6"],
    "tables": ["table", "{run}", "--format", "tex"],
    "badge": ["badge", "{run}", "-o", "{run}/badge.svg"],
}
PAGES = {"report", "table"}
"""Commands that show why a run has no unit; the others need one."""


def call(name, folder):
    words = [word.replace("{run}", str(folder)) for word in COMMANDS[name]]
    outcome = CliRunner().invoke(app, words, prog_name="robench")
    assert "Traceback" not in outcome.output
    assert "Internal error" not in outcome.output
    assert outcome.exit_code in {0, 2, 4}, outcome.output
    return outcome


def measured(folder):
    store = Store(folder)
    store.prepare()
    for entry in (record("net", "clean", [R, B]), record("net", "fgsm", [R, B])):
        store.write(entry)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
class TestEveryCommand:
    def test_one_model(self, name, tmp_path):
        outcome = call(name, measured(tmp_path))
        assert outcome.exit_code == 0, outcome.output

    def test_no_run_folder(self, name, tmp_path):
        outcome = call(name, tmp_path)
        assert outcome.exit_code == 2
        assert "expected a run folder" in outcome.output

    def test_an_empty_run(self, name, tmp_path):
        Store(tmp_path).prepare()
        outcome = call(name, tmp_path)
        assert outcome.exit_code == (0 if name == "table" else 2)
        assert ("finished unit" in outcome.output) == (name != "table")
        assert not (tmp_path / "report.html").exists()
        if name in {"leaderboard", "report"}:
            assert f"{tmp_path}: expected" in outcome.output.replace("\n", "")

    def test_only_failures(self, name, tmp_path):
        store = Store(tmp_path)
        store.prepare()
        store.write_error("x", {"job": "pgd", "error": "out of memory"})
        store.write_json("run.json", {"name": "r", "units": [], "failed_models": {"net": "no file"}})
        outcome = call(name, tmp_path)
        assert outcome.exit_code == (0 if name in PAGES else 2)
        if name == "report":
            assert "out of memory" in (tmp_path / "report.html").read_text("utf-8")

    @pytest.mark.parametrize("content", ["", '{"key": "half-wri', "[]", "newer"])
    def test_a_damaged_or_newer_record(self, name, content, tmp_path):
        store = Store(measured(tmp_path))
        unit = store.unit(store.keys()[0])
        newer = json.dumps(json.loads(unit.read_text()) | {"schema": 99})
        unit.write_text(newer if content == "newer" else content)
        before = unit.read_bytes()
        outcome = call(name, tmp_path)
        assert outcome.exit_code == 0, outcome.output
        assert f"units/{unit.name}" in outcome.stderr
        assert unit.read_bytes() == before
        if name == "report":
            assert unit.stem in (tmp_path / "report.html").read_text("utf-8")

    @pytest.mark.parametrize("file", ["run.json", "plan.json", "config.yaml"])
    def test_a_damaged_file_of_the_run(self, name, file, tmp_path):
        (measured(tmp_path) / file).write_bytes(b'{"units": ["a\xff')
        outcome = call(name, tmp_path)
        assert outcome.exit_code == 0, outcome.output
        assert (f"{file}: " in outcome.stderr) == (file != "config.yaml")


def test_cite_and_badge_write_files(tmp_path):
    folder = measured(tmp_path / "run")
    for command, file in (("cite", "r.bib"), ("badge", "b.svg"), ("table", "t.tex")):
        words = [command, str(folder), "-o", str(tmp_path / file)]
        words += ["--format", "tex", "--paper", "6"] if command == "table" else []
        outcome = CliRunner().invoke(app, words, prog_name="robench")
        assert outcome.exit_code == 0, outcome.output
        assert (tmp_path / file).read_text("utf-8")


@pytest.mark.thorough
def test_report_writes_the_cards_too(tmp_path):
    folder = run_folder(tmp_path, models=2, images=20)
    outcome = call("report", folder)
    assert "cards" in outcome.output
    assert len(list((folder / "cards").glob("*.md"))) == 2


@pytest.mark.thorough
def test_cite_needs_no_torch(tmp_path):
    folder = measured(tmp_path)
    code = (
        "import sys; sys.argv = ['robench', *sys.argv[1:]]\nimport robench.cli\n"
        "try:\n    robench.cli.main()\nexcept SystemExit as exit:\n    assert exit.code in (0, None)\n"
        "assert not [m for m in ('torch', 'pandas', 'art', 'torchattacks') if m in sys.modules]"
    )
    run = subprocess.run([sys.executable, "-c", code, "cite", str(folder)], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "goodfellow2015explaining" in run.stdout
