"""What the pages write behind `robench COMMAND` is an option that this command has."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robench.cli import app

ROOT = Path(__file__).parents[2]
PAGES = (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")


def option_places():
    """Return by command the options that pages name, each with the first place."""
    places = {}
    for page in PAGES:
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            for command, rest in re.findall(r"robench ([a-z]+)((?:[^`|#])*)", line):
                for option in re.findall(r"(?<!\S)(--[a-z-]+)", rest):
                    places.setdefault(command, {}).setdefault(option, f"{page.name}:{number}")
    return places


OPTIONS = option_places()


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_options_that_pages_name_exist(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    outcome = CliRunner().invoke(app, [command, "--help"], prog_name="robench")
    assert outcome.exit_code == 0, (command, OPTIONS[command])
    strangers = {option: place for option, place in OPTIONS[command].items() if option not in outcome.stdout}
    assert not strangers
