"""Parquet files: every column has its documented type, and the values are those of the CSV files."""

import re
import sys
from pathlib import Path

import pytest

from reports.exports import parquet
from reports.exports.parquet import TEXT, TRUTH, WHOLE, Parquet
from reports.text.csv import CSV
from robench.errors import ConfigError
from tests.reports.exports import measured

DOCS = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
TABLES = ("leaderboard", "measurements", "images")
TYPES = {"text": "string", "JSON": "string", "count": "int64", "`true`, `false`": "bool"}
"""Arrow types by the documented one; all others are numbers."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("tables")
    records = [*measured.boards(), *measured.minimal()]
    Parquet()(records, folder)
    CSV(images=True)(records, folder)
    return folder


def documented(name):
    heading = re.search(rf"^### {name}\.csv\n(.*?)(?=^##)", DOCS, re.MULTILINE | re.DOTALL)[1]
    lines = re.findall(r"^\| `([^`]+)` \| (.+?) \| .* \|$", heading, re.MULTILINE)
    common_lines = re.findall(
        r"^\| `([^`]+)` \| (.+?) \| .* \|$", DOCS.split("### leaderboard.csv")[0], re.MULTILINE
    )
    return dict([*(common_lines if name != "images" else []), *lines])


@pytest.mark.parametrize("name", TABLES)
def test_types_are_the_documented_ones(folder, name):
    from pyarrow.parquet import read_schema

    schema, types = read_schema(folder / f"{name}.parquet"), documented(name)
    assert schema.metadata[b"robench.table"] == name.encode()
    columns = [one for one in schema if not one.name.startswith("attack: ")]
    assert columns
    for one in columns:
        kind = types[one.name]
        assert str(one.type) == TYPES.get(kind, "double"), one.name


@pytest.mark.parametrize("name", TABLES)
def test_values_are_those_of_the_csv(folder, name):
    import pandas as pd

    table = pd.read_parquet(folder / f"{name}.parquet")
    words = dict.fromkeys(TEXT, str)
    text = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values=[""], dtype=words)
    assert list(table) == list(text)
    for column in table:
        ours, theirs = table[column], text[column]
        if str(ours.dtype) in {"str", "object"}:
            assert list(ours.fillna("")) == list(theirs.fillna(""))
        else:
            pd.testing.assert_series_equal(ours, theirs, check_dtype=False)


def test_no_column_has_two_types():
    assert not TEXT & WHOLE
    assert not TEXT & TRUTH
    assert not WHOLE & TRUTH


def test_without_pyarrow_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        parquet.Parquet()(measured.boards(), tmp_path)
    assert not list(tmp_path.iterdir())
