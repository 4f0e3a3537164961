"""The types of boards as plain data name the very keys that the report `json` writes."""

import pytest

from robench.record.exchange.plain_boards import (
    PlainBoard,
    PlainDoubt,
    PlainRow,
    PlainShare,
    PlainTables,
    plain_tables,
)
from tests.reports.text.test_renderers import records


@pytest.fixture(scope="module")
def tables():
    return plain_tables(records("net"))


def names(kind):
    return list(kind.__annotations__)


def test_they_name_the_keys_of_the_file(tables):
    (board,) = tables["boards"]
    (row,), doubts = board["rows"], board["doubts"]
    assert sorted(tables) == sorted(names(PlainTables))
    assert sorted(board) == sorted(names(PlainBoard))
    assert sorted(row) == sorted(names(PlainRow))
    assert [sorted(doubt) for doubt in doubts] == [sorted(names(PlainDoubt))] * len(doubts) != []
    assert sorted(row["clean"]) == sorted(names(PlainShare))


def test_no_records_have_no_boards():
    assert plain_tables([]) == {"schema": 1, "boards": [], "over_seeds": []}
