"""The tables of a run that an earlier version made, and tables that were altered."""

import csv
import io

import pytest

from reports.text.csv import CSV
from robench.audit.verify import check_files
from robench.record.store import Store
from tests.reports.html.synthetic import run_folder


@pytest.fixture
def store(tmp_path):
    store = Store(run_folder(tmp_path, models=2, attacks=1, images=4))
    CSV()(store.read_records(), store.root)
    return store


def without(store, column, change=lambda line: line):
    path = store.root / "leaderboard.csv"
    lines = list(csv.reader(io.StringIO(path.read_text("utf-8"))))
    at = lines[0].index(column)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(
        [cell for place, cell in enumerate(change(line)) if place != at] for line in lines
    )
    path.write_text(stream.getvalue(), "utf-8")


def tables(store):
    return next(check for check in check_files(store) if check.name == "tables")


def test_a_table_without_a_column_that_came_later_holds_and_it_is_said(store):
    assert tables(store).evidence == ""
    without(store, "missing")
    check = tables(store)
    assert check.wrong == 0
    assert check.evidence == (
        "leaderboard.csv: by an earlier version, without the columns that came later "
        "(median_own, median_size, missing)"
    )


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("partial", lambda line: line),
        ("missing", lambda line: [cell.replace("model", "mode1") for cell in line]),
    ],
)
def test_any_other_difference_is_told(store, column, change):
    without(store, column, change)
    check = tables(store)
    assert (check.wrong, check.evidence) == (1, "leaderboard.csv")


@pytest.mark.parametrize("content", [b"", b"\xff", b'"', b"missing\n"])
def test_what_is_no_table_is_told(store, content):
    (store.root / "leaderboard.csv").write_bytes(content)
    assert tables(store).wrong == 1
