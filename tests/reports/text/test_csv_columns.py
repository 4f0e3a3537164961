"""The documented columns are the written ones, and pandas reads numbers back to equal values."""

import io
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from reports.board.leaderboard import boards
from reports.paper.report import Paper
from reports.text.csv import CSV
from tests.records import changed
from tests.reports.html.synthetic import run_folder
from tests.reports.paper.made import B, M, R, record

DOCS = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")


def documented(heading):
    """Names of the first table after a heading, in order."""
    part = DOCS.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", part[part.index("| column | type | what |") :], re.MULTILINE)[0]
    return re.findall(r"^\| `([^`]+)` \| \S.* \| \S.* \|$", table, re.MULTILINE)


def read(text):
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def records():
    return [record("NA", "clean", [R, R, M]), record("NA", "fgsm", [R, B, M]),
            record("NA", "fgsm", [R, R, M], source="other", eps=8 / 255),
            record("NA", "cw", [B, B, M])]  # fmt: skip


@pytest.fixture(scope="module")
def files(records, tmp_path_factory):
    return {p.name: p.read_text("utf-8") for p in CSV()(records, tmp_path_factory.mktemp("csv"))}


def test_leaderboard_columns(files):
    first, own = documented("## CSV files"), documented("### leaderboard.csv")
    header = list(read(files["leaderboard.csv"]).columns)
    attacks = [c for c in header if c.startswith("attack: ")]
    # `cw` has no radius here, so that the median over all images follows.
    assert header == [*first, *(c for c in own if "LABEL" not in c), *attacks, "median_size"]
    assert attacks[:3] == [c.replace("LABEL", "fgsm") for c in own if "LABEL" in c]


def test_measurement_columns(files):
    header = list(read(files["measurements.csv"]).columns)
    assert header == [*documented("## CSV files"), *documented("### measurements.csv")]


def test_curve_columns(files):
    header = list(read(files["curves.csv"]).columns)
    assert header == [*documented("## CSV files"), *documented("### curves.csv")]


def test_paper_columns(records):
    header = list(read(Paper(table="6", format="csv").render(records)).columns)
    assert header == documented("## The paper's tables")


def test_pandas_reads_equal_values(records, files):
    wide = read(files["leaderboard.csv"])
    rows = [(board, row) for board in boards(records) for row in board.rows]
    assert len(wide) == len(rows)
    for (board, row), line in zip(rows, wide.itertuples(index=False), strict=True):
        assert line.model == "NA"
        assert line.eps == board.eps
        assert (line.clean, line.clean_low, line.clean_high) == (
            row.clean.value,
            row.clean.low,
            row.clean.high,
        )
        assert line.worst_case == row.worst_case.value
        assert line.n == row.n
    tidy = read(files["measurements.csv"])
    cells = [cell for board in boards(records) for cell in board.cells]
    assert list(tidy["robust_accuracy"]) == [cell.robust.value for cell in cells]
    assert list(tidy["low"]) == [cell.robust.low for cell in cells]
    assert set(tidy["eps"]) == {0.3, 8 / 255, math.inf}
    assert tidy["white_box"].dtype == bool
    assert [json.loads(text) for text in tidy["options"]][-1]["c"] == 10.0


def test_the_threat_is_in_every_row(tmp_path):
    for path in CSV()(list(_synthetic(tmp_path)), tmp_path)[:2]:
        table = read(path.read_text("utf-8"))
        assert set(table["knowledge"]) == {"weights"}
        assert set(table["bounds_low"]) == {0.0}
        assert set(table["bounds_high"]) == {1.0}
        assert table["budget"].isna().all()
        assert set(table["n"]) == {20}


def _synthetic(folder):
    from robench.record.store import Store

    return Store(run_folder(folder, models=2, images=20)).read_records()


def test_defenses_in_front_are_named_where_a_model_has_any(tmp_path):
    def table(records):
        (path,) = (p for p in CSV()(records, tmp_path) if p.name == "leaderboard.csv")
        return read(path.read_text("utf-8"))

    plain, other = record("plain", "clean", [R, R, M]), record("dim", "clean", [R, M, M])
    details = {"inference": [{"defense": "mine.py:Dim", "factor": 0.9}, {"defense": "Smoothing"}]}
    assert "inference" not in table([plain])
    both = table([plain, changed(other, target={"details": details})])
    assert both.columns[-1] == "inference"
    names = both.set_index("model").inference.fillna("").to_dict()
    assert names == {"plain": "", "dim": "mine.py:Dim; Smoothing"}
