"""The lines of docs/moving-over.md run as they stand; a library gives the same images here and there."""

import math
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import robench
from robench.errors import PluginError

PAGE = (Path(__file__).parents[2] / "docs" / "moving-over.md").read_text("utf-8")
BLOCK = re.compile(r"<!-- (setup|there|here)(?:: (\w+))? -->\n```(\w+)\n(.*?)```", re.DOTALL)
ELSEWHERE = {"autoattack", "robustbench"}
"""Libraries whose lines are shown and not run."""
COMPARED = ("x_adv", "standing")
"""Names that both sides may give a value: the same."""
NOT_RUN = {"command", "data"}
"""Our lines that need files that no test has; they are read instead."""
CASES = [
    f"{section.splitlines()[0]}: {case.splitlines()[0]}"
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    for case in re.split(r"^### ", section, flags=re.MULTILINE)[1:]
]


def blocks_of(section, case):
    (text,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    (text,) = re.findall(rf"^### {re.escape(case)}\n(.*?)(?=^### |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return [(side, library, code) for side, library, _, code in BLOCK.findall(text)]


@pytest.fixture(scope="module")
def names():
    """What the page starts with, and what each library's lines of earlier cases left behind."""
    ((_, _, _, code),) = (block for block in BLOCK.findall(PAGE) if block[0] == "setup")
    space = {}
    exec(code, space)
    return space


def missing(library):
    return library in ELSEWHERE or find_spec(library) is None


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # of the libraries' own
@pytest.mark.parametrize("title", CASES)
def test_the_lines_run_and_the_results_are_the_same(title, names):
    results = {}
    weights = {key: value.clone() for key, value in names["net"].state_dict().items()}
    for side, library, code in blocks_of(*title.split(": ", maxsplit=1)):
        if library in NOT_RUN or (side == "there" and missing(library)):
            continue
        if side == "here" and library and missing(library):
            with pytest.raises(PluginError, match="pip install"):
                exec(code, dict(names))
            continue
        torch.manual_seed(0)
        space = dict(names)
        exec(code.replace('"autoattack", eps', '"autoattack", scale=0.02, eps'), space)
        results[side] = space
        if side == "there":  # a later case goes on with its imports and objects
            names |= {key: value for key, value in space.items() if key not in {*names, *COMPARED}}
    assert "here" in results or any(
        library in NOT_RUN | ELSEWHERE or missing(library or "robench")
        for _, library, _ in blocks_of(*title.split(": ", maxsplit=1))
    )
    after = names["net"].state_dict()
    assert all(torch.equal(after[key], value) for key, value in weights.items())
    if len(results) == 2:
        for name in COMPARED:
            if all(name in space for space in results.values()):
                here, there = (torch.as_tensor(results[side][name]) for side in ("here", "there"))
                assert torch.allclose(here.float(), there.float(), atol=1e-5)


def test_every_case_has_a_line_here_and_most_one_there():
    assert len(CASES) > 10
    for title in CASES:
        sides = [side for side, _, _ in blocks_of(*title.split(": ", maxsplit=1))]
        assert "here" in sides, title
    assert len(BLOCK.findall(PAGE)) == PAGE.count("```") // 2


def test_the_command_is_one_that_robench_reads():
    from typer.testing import CliRunner

    from robench.cli import app

    ((_, _, _, line),) = (block for block in BLOCK.findall(PAGE) if block[1] == "command")
    words = [*line.split()[1:], "--dry-run"]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 2
    weights = "the published weights of robustbench:cifar10/Linf/Carmon2019Unlabeled"  # which no test has
    assert weights in " ".join(outcome.stderr.split())


@pytest.mark.parametrize(
    ("module", "name", "command"),
    [
        ("torchattacks", "torchattacks/PGD", "pip install --no-deps torchattacks"),
        ("foolbox", "foolbox/LinfPGD", "pip install foolbox"),
        ("adv_lib", "adv_lib/fmn", "pip install adv-lib"),
        ("torchattack", "torchattack/MIFGSM", "pip install torchattack"),
    ],
)
def test_an_absent_library_is_told_with_the_command_that_installs_it(module, name, command, monkeypatch):
    import sys

    for submodule in [key for key in sys.modules if key.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, submodule)
    monkeypatch.setitem(sys.modules, module, None)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    x, y = torch.rand(2, 3, 2, 2), torch.tensor([0, 1])
    eps, norm = (math.inf, "L2") if name == "adv_lib/fmn" else (0.1, "Linf")
    with pytest.raises(PluginError, match=command):
        robench.attack(net, x, y, name, eps=eps, norm=norm)
