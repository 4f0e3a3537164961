import subprocess
import sys

import pytest
from typer.main import get_command

from robench.cli.app import app
from robench.cli.commands import COMMANDS
from robench.cli.lazy_command import LazyCommand

EVERY = [(panel, name, *entry) for panel, own in COMMANDS.items() for name, entry in own.items()]


@pytest.mark.parametrize(("panel", "name", "place", "sentence"), EVERY, ids=[name for _, name, *_ in EVERY])
def test_the_sentence_is_the_first_of_the_docstring(panel, name, place, sentence):
    whole = get_command(app).commands[name].whole
    assert whole.help.split("\n\n")[0] == sentence
    assert (whole.name, whole.rich_help_panel) == (name, panel)
    assert whole.callback.__module__ == f"robench.cli.{place.split(':')[0]}"


def test_a_command_imports_no_other():
    code = (
        "import sys; sys.argv = ['robench', 'list', 'suites']\n"
        "from robench.cli import main\n"
        "try: main()\n"
        "finally: print(sorted(n for n in sys.modules if n in {'robench.cli.list', 'robench.cli.run'}))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.stdout.splitlines()[-1] == "['robench.cli.list']"


def test_a_command_whose_module_is_missing_is_an_error_when_it_is_called():
    command = LazyCommand("x", "robench.cli.nowhere", "x", panel="P", sentence="Does it.")
    assert (command.help, command.rich_help_panel) == ("Does it.", "P")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        command.make_context("x", [])
