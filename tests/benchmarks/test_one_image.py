"""What the way of one image counts: functions of the kernel, once each, in the order of their first call."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.one_image import functions_of
from robench.plan.spec import content_hash
from robench.plurals import counted


def test_each_function_of_the_kernel_is_noted_once_and_nobody_elses():
    def call():
        counted(2, "image")
        content_hash({"a": [1]})
        counted(3, "image")
        sorted([2, 1], key=lambda number: -number)

    functions = functions_of(call)
    names = [name for _, name in functions]
    assert names[0] == "counted"
    assert names.index("plural") < names.index("content_hash")
    assert len(functions) == len(set(functions))
    assert {file for file, _ in functions} == {"plurals.py", "plan/spec.py"}


ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (softmax|WNLL) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
MOST = {"functions": 2, "files": 2, "stays": 4, "returns": 4}
"""Largest difference: a slow machine calls a function or two more, and each may cut a stay into three."""


def counts(text):
    """Return the figures of a table by model and column."""
    return {
        (row[1], column): int(number)
        for row in ROW.finditer(text)
        for column, number in zip(MOST, row.groups()[1:], strict=True)
    }


def stale(page, output):
    """Return the figures of a page that are far from the counter's, by model and column: (page, counter)."""
    now, then = counts(output), counts(page)
    assert now.keys() == then.keys()
    assert len(now) == 8
    return {key: (then[key], now[key]) for key in now if abs(now[key] - then[key]) > MOST[key[1]]}


def test_figures_that_are_out_of_date_are_seen():
    table = "| softmax | 300 | 60 | 140 | 80 |\n| WNLL | 310 | 61 | 141 | 80 |\n"
    assert stale(table, table.replace("300", "302").replace("140", "144")) == {}
    assert stale(table, table.replace("300", "297").replace("61", "64")) == {
        ("softmax", "functions"): (300, 297),
        ("WNLL", "files"): (61, 64),
    }


@pytest.mark.thorough
def test_the_page_has_the_figures_of_the_counter():
    """In a process of its own: this one checks shapes, and earlier tests have filled its caches."""
    command = [sys.executable, "-m", "benchmarks.one_image"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert not stale(page, process.stdout), "copy the table of `python -m benchmarks.one_image` to the page"
