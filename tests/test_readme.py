"""What the README shows runs as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from benchmarks.readme_numbers import PAGE, blocks, claim, largest_gap, put
from robench import plugins
from robench.cli import app

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text("utf-8")
FENCES = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL))
COMMANDS = [
    line
    for line in (*FENCES.splitlines(), *re.findall(r"`(robench [a-z]+ [^`]+)`", TEXT))
    if line.startswith("robench ")
]
EXAMPLE = re.compile(r"<!-- example: tests run this block -->\n```python\n(.*?)```", re.DOTALL)


@pytest.mark.thorough
@pytest.mark.parametrize("code", EXAMPLE.findall(README.read_text("utf-8")))
def test_python_example_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, str(README), "exec"), names)
    assert names["robench"].__version__


def test_both_examples_were_found():
    assert len(EXAMPLE.findall(README.read_text("utf-8"))) == 2


def test_the_configuration_is_valid(tmp_path):
    from robench.plan.config import parse

    (block,) = re.findall(r"```yaml\n(# mine.yaml.*?)```", README.read_text("utf-8"), re.DOTALL)
    (tmp_path / "nets.py").write_text("def make(): ...")
    (tmp_path / "mine.safetensors").write_bytes(b"")
    plan = parse(block, file=tmp_path / "mine.yaml", overrides=None)
    assert [m.name for m in plan.models] == ["mine", "mine-wnll"]
    assert plan.threats[0].eps == 8 / 255


def test_every_attack_named_is_installed():
    for name in ("fgsm", "ifgsm", "pgd", "cw"):
        for prefix in ("", "art/", "torchattacks/"):
            assert prefix + name in plugins.names("attacks")


def test_numbers_of_the_claim_are_those_of_its_page():
    assert blocks(TEXT)["claim"] == claim(PAGE.read_text("utf-8"))


def test_every_block_of_numbers_is_a_board_or_a_table_and_has_a_maker():
    parts = blocks(TEXT)
    assert list(parts) == ["mine", "compare", "claim"]
    for name in ("mine", "compare"):
        assert "Worst case [95% CI]" in parts[name]
        assert parts[name].startswith("```\nDigits 8x8 test, 200 images, Linf 0.1")


def test_put_changes_one_block_alone():
    other = put(TEXT, "mine", "new\n")
    assert blocks(other) == {**blocks(TEXT), "mine": "new\n"}
    assert put(other, "mine", blocks(TEXT)["mine"]) == TEXT


def test_a_gap_is_that_of_numbers_and_infinite_where_words_differ():
    assert largest_gap("net 81.5 [75.5, 86.3]", "net  82.0 [75.5, 86.3]") == 0.5
    assert largest_gap("net 81.5", "other 81.5") == float("inf")


def test_it_is_short_and_says_what_depends_on_the_processor():
    assert len(TEXT.splitlines()) <= 230
    assert "another kind of processor" in TEXT


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: " ".join(line.split()[:2]))
def test_every_command_and_option_exists(line):
    """The words of each command line are those that the command takes."""
    words = shlex.split(line, comments=True)
    command = get_command(app)
    subcommand = command.commands[words[1]].whole
    options = {name for parameter in subcommand.params for name in parameter.opts}
    flags = [word for word in words[2:] if word.startswith("-")]
    assert set(flags) <= options, f"{words[1]} takes {sorted(options)}"
    arguments = [p for p in subcommand.params if p.required and p.param_type_name == "argument"]
    values = sum(
        1
        for p in subcommand.params
        if p.param_type_name == "option" and not p.is_flag and set(p.opts) & set(flags)
    )
    assert len(words) - 2 - len(flags) - values >= len(arguments)


def test_every_kind_of_command_was_found():
    assert {line.split()[1] for line in COMMANDS} >= {
        "eval",
        "run",
        "check",
        "export",
        "verify",
        "table",
        "board",
    }


def test_linked_pages_exist():
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT)
    assert len(links) > 20
    for link in links:
        assert (README.parent / link).exists(), link
