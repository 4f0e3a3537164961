"""What docstrings show is what comes out."""

import ast
import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("robench", "attacks", "defenses", "model_zoo", "reports", "benchmarks")


def shown(path):
    """How many examples the docstrings of the file show; no module is imported to find out."""
    source = path.read_text("utf-8")
    if ">>>" not in source:  # most files: there is no need to understand them
        return 0
    tree = ast.parse(source)
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
    return sum(len(doctest.DocTestParser().get_examples(text)) for text in texts)


EXAMPLES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): count
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if (count := shown(path))
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_a_docstring_shows_comes_out(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert (outcome.attempted, outcome.failed) == (EXAMPLES[name], 0)


def test_the_modules_that_show_something_are_found():
    assert {"robench.record.measures.statistics", "reports.text.escape", "model_zoo.graph.coverage"} <= {
        *EXAMPLES
    }
