"""docs/quality.md: its table adds up, names modules that exist, and is about those the tool tries."""

import re
from pathlib import Path

from benchmarks.mutants import TESTS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "quality.md").read_text("utf-8")
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| `robench/[\w/]+\.py`", line)]


def test_every_tried_mutant_is_noticed_or_named_as_equivalent():
    assert ROWS
    for module, has, count, *outcomes in ROWS:
        assert sum(int(number) for number in outcomes if number.strip()) == int(count) <= int(has), module


def test_the_modules_are_those_of_the_tool():
    modules = {module.strip(" `") for module, *_ in ROWS}
    assert all((ROOT / module).is_file() for module in modules)
    others = {module for module in TESTS if re.search(rf"`{Path(module).name}`.*", PAGE)}
    assert modules | others == set(TESTS)
