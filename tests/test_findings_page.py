"""The page about findings names every code there is, and no other."""

import re
from pathlib import Path

from reports.cross_checks import BLACK_BOX, MORE_STEPS

ROOT = Path(__file__).parents[1]


def test_the_page_and_the_code_agree():
    source = "\n".join(path.read_text() for path in (ROOT / "robench").glob("*.py"))
    raised = {*re.findall(r'code="([a-z-]+)"', source), BLACK_BOX, MORE_STEPS}
    page = (ROOT / "docs" / "findings.md").read_text()
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", page, flags=re.MULTILINE))
    assert listed == raised
