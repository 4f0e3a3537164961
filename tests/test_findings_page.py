"""The page about findings names every code there is, and no other, and says of each what to do and whence."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "findings.md").read_text()


def raised():
    """Return every code in the source: given to a Finding, or named by a module of checks."""
    kernel = "\n".join(path.read_text() for path in (ROOT / "robench").rglob("*.py"))
    checks = "\n".join(path.read_text() for path in (ROOT / "reports" / "board").glob("*_checks.py"))
    by_check = re.findall(r'^[A-Z_]+ = "([a-z]+(?:-[a-z]+)+)"', checks, flags=re.MULTILINE)
    constants = dict(re.findall(r'^([A-Z_]+) = "([a-z-]+)"', kernel, flags=re.MULTILINE))
    by_name = {constants[name] for name in re.findall(r"code=([A-Z_]+)\b", kernel) if name in constants}
    return {*re.findall(r'code="([a-z-]+)"', kernel), *by_name, *by_check}


def test_the_page_and_the_code_agree():
    codes = re.findall(r"^\| `([a-z-]+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(codes) == sorted(raised())
    assert len(codes) > 25


@pytest.mark.thorough
def test_every_code_says_what_was_seen_what_to_do_and_where_it_comes_from():
    header = 0
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells[:1] == ["code"]:
            header = len(cells)
            assert cells[-1] == "source"
        elif cells and cells[0].strip("`") in raised():
            assert len(cells) == header, cells[0]
            assert all(cells), cells[0]


def test_codes_that_lift_or_explain_are_codes():
    from reports.board.unlifted_findings import MENDED, WEAK
    from robench.judge.attack_findings import EXPLAIN_UNSETTLED, EXPLAIN_ZERO_GRADIENTS

    assert raised() >= (MENDED | WEAK | EXPLAIN_UNSETTLED | EXPLAIN_ZERO_GRADIENTS)
