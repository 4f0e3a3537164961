"""`robench export`: files where they were asked for, and a sentence for everything else."""

import json

import pytest
from typer.testing import CliRunner

from robench.cli import app
from tests.reports.html.synthetic import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "toy", models=2, images=40)


def call(*words):
    outcome = CliRunner().invoke(app, ["export", *map(str, words)], prog_name="robench")
    assert "Traceback" not in outcome.output
    return outcome


@pytest.mark.parametrize(
    ("to", "names"),
    [
        ("owasp", {"owasp.json", "owasp.schema.json"}),
        ("csv", {"leaderboard.csv", "measurements.csv", "curves.csv", "images.csv"}),
        ("model-index", {"model-00", "model-01"}),
        ("markdown", {"leaderboard.md"}),
        ("md", {"leaderboard.md"}),
        ("latex", {"leaderboard.tex"}),
        ("tex", {"leaderboard.tex"}),
    ],
)
def test_files_of_a_format(run, to, names, tmp_path):
    outcome = call(run, "--to", to, "-o", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    assert {p.name for p in tmp_path.iterdir()} == names
    assert outcome.stdout.count("Written: ") == len(outcome.stdout.splitlines())


def test_options_of_a_format(run, tmp_path):
    outcome = call(
        run, "--to", "huggingface", "--set", "dataset=me/toy", "--set", "date=2026-01-31", "-o", tmp_path
    )
    assert outcome.exit_code == 0, outcome.output
    text = (tmp_path / "model-00" / ".eval_results" / "toy-accuracy.yaml").read_text()
    assert 'date: "2026-01-31"' in text
    assert call(run, "--to", "csv", "--set", "images=false", "-o", tmp_path / "csv").exit_code == 0
    assert not (tmp_path / "csv" / "images.csv").exists()


def test_by_default_a_folder_of_the_format_s_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(run, "--to", "owasp").exit_code == 0
    data = json.loads((tmp_path / "export" / "owasp" / "owasp.json").read_text())
    assert len(data["evaluations"]) == 2


def test_both_spellings_lead_into_one_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for to in ("latex", "tex"):
        assert "Written: export/latex/leaderboard.tex" in call(run, "--to", to).stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--to", "huggingfase"], "Did you mean 'huggingface'?"),
        (["--to", "screen"], "a format that is written as files"),
        (["--to", "huggingface"], "--set dataset=ORG/NAME"),
        (["--to", "huggingface", "--set", "dataset"], "expected OPTION=VALUE"),
        (["--to", "huggingface", "--set", "datasat=a/b"], "Did you mean 'dataset'"),
        (["--to", "huggingface", "--set", "dataset=a/b/c"], "expected ORG/NAME"),
    ],
)
def test_refusals(run, words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = call(run, *words)
    assert outcome.exit_code == 2
    assert sentence in " ".join(outcome.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_and_a_file_for_a_folder(run, tmp_path):
    assert "expected a run folder" in call(tmp_path, "--to", "owasp").stderr
    (tmp_path / "taken").write_text("")
    outcome = call(run, "--to", "owasp", "-o", tmp_path / "taken")
    assert outcome.exit_code == 2
    assert "expected a folder" in outcome.stderr
