"""The site in docs/board is what `make board` makes of the submission files in docs/submissions."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robench.cli.app import app

ROOT = Path(__file__).parents[1]
MOST = 1_500_000
"""Bytes of submission files that the repository keeps."""


def words():
    line = re.search(r"^board:.*\n\t(.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    return line[1]


def without_pictures(text):
    """Return a page without its figures, which other fonts draw otherwise."""
    text = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    return re.sub(r"sha256-[^']+", "", text)


@pytest.mark.thorough
def test_the_site_is_what_the_command_makes(tmp_path):
    files = sorted((ROOT / "docs" / "submissions").glob("*.zip"))
    assert len(files) == 2
    title = re.search(r'--title "([^"]+)"', words())[1]
    outcome = CliRunner().invoke(
        app, ["board", *map(str, files), "-o", str(tmp_path / "site"), "--title", title]
    )
    assert outcome.exit_code == 0, outcome.output
    pages = {path.relative_to(tmp_path / "site") for path in (tmp_path / "site").rglob("*.html")}
    own_pages = {
        path.relative_to(ROOT / "docs" / "board") for path in (ROOT / "docs" / "board").rglob("*.html")
    }
    assert pages == own_pages
    for name in pages:
        now, then = (
            (folder / name).read_text("utf-8") for folder in (tmp_path / "site", ROOT / "docs" / "board")
        )
        assert without_pictures(now) == without_pictures(then), f"{name}: `make board` makes it anew"


def test_the_submissions_are_small():
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "submissions").iterdir()) < MOST
