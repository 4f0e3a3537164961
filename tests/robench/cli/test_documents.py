"""What is made of run folders is made from one reading of each."""

import dataclasses
import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from robench.cli import app
from robench.record.store import Store
from tests.reports.html.synthetic import run_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("run"), models=2, attacks=1, images=4)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "words",
    [("report",), ("report", "-o", "page.html"), ("table", "--paper", "6"), ("cite",),
     ("table", "--paper", "6", "--format", "json"), ("plot", "tradeoff"), ("leaderboard",),
     ("badge", "--model", "model-00")],
)  # fmt: skip
def test_a_folder_is_read_once(folder, monkeypatch, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    real, count = Store.readable, []
    monkeypatch.setattr(Store, "readable", lambda self, **how: count.append(self.root) or real(self, **how))
    arguments = [words[0], *(words[1:] if words[0] == "plot" else ()), str(folder)]
    arguments += words[1:] if words[0] != "plot" else ()
    outcome = CliRunner().invoke(app, arguments, prog_name="robench")
    assert outcome.exit_code == 0, outcome.output
    assert count == [folder]


@pytest.mark.thorough
def test_a_damaged_record_is_on_the_page_and_told_once(folder, tmp_path):
    unit = next((folder / "units").iterdir())
    text = unit.read_text("utf-8")
    try:
        unit.write_text("{", "utf-8")
        page = tmp_path / "page.html"
        outcome = CliRunner().invoke(app, ["report", str(folder), "-o", str(page)], prog_name="robench")
        assert outcome.stderr.count(unit.name) == 1
        assert unit.name in page.read_text("utf-8")
        outcome = CliRunner().invoke(app, ["table", str(folder), "--paper", "6", "--format", "json"])
        assert any(unit.name in remark for remark in json.loads(outcome.stdout)["remarks"])
    finally:
        unit.write_text(text, "utf-8")


@pytest.mark.parametrize("words", [("leaderboard",), ("table", "--paper", "6")], ids=lambda words: words[0])
def test_a_format_has_two_spellings_and_help_says_one(folder, words):
    def text(name):
        outcome = CliRunner().invoke(app, [words[0], str(folder), *words[1:], "--format", name])
        assert outcome.exit_code == 0, outcome.output
        return outcome.stdout

    assert text("tex") == text("latex") == text("LaTeX")
    assert text("md") == text("markdown")
    usage = CliRunner().invoke(app, [words[0], "--help"]).stdout
    assert "text|md|csv|json|tex" in usage
    assert "latex" not in usage
    refusal = CliRunner().invoke(app, [words[0], str(folder), "--format", "jsn"], prog_name="robench")
    assert refusal.exit_code == 2
    assert "Did you mean 'json'?" in refusal.stderr


def test_units_of_two_folders_that_differ_are_told(folder, tmp_path):
    other = run_folder(tmp_path / "other", models=2, attacks=1, images=4)
    words = ["leaderboard", str(folder), str(other), "--format", "csv"]
    assert CliRunner().invoke(app, words, prog_name="robench").stderr == ""
    store = Store(other)
    one = store.read_records()[0]
    columns = dataclasses.replace(one.columns, clean=[0] * 4)
    store.write(dataclasses.replace(one, columns=columns), replace=True)
    outcome = CliRunner().invoke(app, words, prog_name="robench")
    assert outcome.exit_code == 0
    assert f"1 unit is in {folder} and in {other} with other verdicts" in outcome.stderr
    assert f"those of {other} are shown" in outcome.stderr


def reads_of(monkeypatch, words):
    """Return how often a command reads each record."""
    real, count = Store._read, Counter()
    monkeypatch.setattr(
        Store, "_read", lambda self, key, **how: count.update([key]) or real(self, key, **how)
    )
    outcome = CliRunner().invoke(app, words, prog_name="robench")
    assert outcome.exit_code == 0, outcome.output
    return count


def test_a_leaderboard_reads_every_record_once(folder, monkeypatch):
    count = reads_of(monkeypatch, ["leaderboard", str(folder)])
    assert set(count) == set(Store(folder).planned())
    assert set(count.values()) == {1}


@pytest.mark.thorough
def test_a_page_reads_the_columns_of_a_model_once_for_all_of_its_tables(folder, monkeypatch, tmp_path):
    words = ["report", str(folder), "-o", str(tmp_path / "page.html")]
    assert max(reads_of(monkeypatch, words).values()) == 2  # all of it, then what was left in the file


def test_a_run_that_has_finished_nothing_says_so_and_not_that_it_is_running(tmp_path):
    store = Store(tmp_path / "k")
    store.prepare()
    store.write_json("run.json", {"name": "k", "status": "running", "units": []})
    outcome = CliRunner().invoke(app, ["show", str(tmp_path / "k")], prog_name="robench")
    first, second = outcome.stdout.splitlines()[:2]
    assert first.startswith("run k: begun and not ended")
    assert second == "0 units finished"
