"""`robench optimality` on a run of all norms, as a user would make it, and where nothing can be scored."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from robench.cli import app
from robench.record.store import Store
from tests.reports.paper.made import B, R, record

CONFIGURATION = """
schema: 1
name: smallest
dataset: {name: digits, split: test, limit: 12}
models:
  - {name: net, architecture: digits_cnn, train: {defense: {natural: {epochs: 8, learning_rate: 0.2}}}}
threats:
  - norm: L0
    eps: inf
    attacks: [{sigma_zero: {steps: 30}}, {sigma_zero: {steps: 2, restarts: 1, removals: 0}, label: short}]
  - {norm: L1, eps: inf, attacks: [{pdpgd: {steps: 100}}]}
  - {norm: L2, eps: inf, attacks: [{ddn: {steps: 20}}, {fmn: {steps: 20}}]}
  - {norm: L0, eps: 3, attacks: [noise]}
"""


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="robench")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smallest")
    (folder / "smallest.yaml").write_text(CONFIGURATION)
    outcome = call("run", folder / "smallest.yaml", "--out", folder / "run", "--workers", "0")
    assert outcome.exit_code == 0, outcome.output
    return folder / "run"


@pytest.mark.thorough
class TestARun:
    def test_every_norm_is_scored_and_the_best_attack_has_one(self, run):
        outcome = call("optimality", run, "--format", "json")
        assert outcome.exit_code == 0
        lines = json.loads(outcome.stdout)
        assert {(line["norm"], line["attack"]) for line in lines} == {
            ("L0", "sigma_zero"), ("L0", "short"), ("L1", "pdpgd"), ("L2", "ddn"), ("L2", "fmn"),
        }  # fmt: skip
        score = {line["attack"]: line["score"] for line in lines}
        assert score["pdpgd"] == 1  # alone
        assert 0 <= score["short"] < score["sigma_zero"] <= 1
        assert max(score["ddn"], score["fmn"]) > 0.9
        counts = [line["median"] for line in lines if line["attack"] == "sigma_zero"]
        assert counts[0] == pytest.approx(counts[0] // 0.5 * 0.5)  # of whole numbers

    def test_text_and_csv_say_the_same(self, run):
        text, table = call("optimality", run).stdout, call("optimality", run, "--format", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(table)))
        assert len(rows) == len(text.splitlines()) - 1 == 5
        for row, line in zip(rows, text.splitlines()[1:], strict=True):
            assert row["attack"] in line
            assert f"{float(row['score']):.3f}" in line

    def test_boards_and_pages_say_what_l0_means(self, run):
        assert call("report", run).exit_code == 0
        page = (run / "report.html").read_text("utf-8")
        assert "change at most 3 values of an image" in page
        text = call("leaderboard", run).stdout
        assert "L0" in text


def test_a_run_without_smallest_perturbations_is_refused(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    for one in (record("net", "clean", [R, B]), record("net", "fgsm", [R, B])):
        store.write(one)
    outcome = call("optimality", tmp_path)
    assert outcome.exit_code == 2
    assert "eps: inf" in outcome.output


def test_a_part_of_a_value_is_refused_with_its_line(tmp_path):
    (tmp_path / "wrong.yaml").write_text(CONFIGURATION.replace("eps: 3,", "eps: 8/255,"))
    outcome = call("check", tmp_path / "wrong.yaml")
    assert outcome.exit_code == 2
    assert "whole number of values" in outcome.output


def test_bounds_under_l0_are_refused(tmp_path):
    (tmp_path / "wrong.yaml").write_text(
        CONFIGURATION.replace("attacks: [noise]", "attacks: [noise], bounds: [crown]")
    )
    outcome = call("check", tmp_path / "wrong.yaml")
    assert outcome.exit_code == 2
    assert "L0, which counts values" in outcome.output
