"""docs/reliability.md names tests that exist, and every test it needs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]


def test_every_row_names_a_test_that_exists():
    for row in ROWS:
        names = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert names, row
        for file, function in names:
            text = (ROOT / file).read_text("utf-8")
            assert not function or re.search(rf"^def {function}\(", text, re.MULTILINE), f"{file}::{function}"


def test_rows_are_counted():
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, 53))
