"""Local variables are nouns: a participle alone (`found`) says what happened to a thing, not what it is."""

import re
import symtable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
SHOWN_IN_A_GUIDE = "tests/third_party"

IRREGULAR = """
    begun blind bought broke broken brought built caught chosen done drawn driven fallen felt forgotten
    found frozen given gone grown heard held hidden kept known laid learnt lent lit lost made meant met
    paid proven put read rebuilt redone remade reread rerun risen said seen sent shaken shot shown shrunk
    sold spent spoilt stood taken taught thrown told torn unbroken understood undone uneven unknown unseen
    withheld won worn written held_out set_aside stood_in
"""
NOUNS = "embed expected feed need pretrained red seed shed speed targeted"
"""Nouns that end so, and words of the field: `expected` of tests, `targeted` of attacks."""

WORD = rf"(?!(?:{'|'.join(NOUNS.split())})\b)(?:[a-z]+ed|{'|'.join(IRREGULAR.split())})"
PARTICIPLE = re.compile(WORD)
MAYBE_BOUND = re.compile(rf"(?<![\w.`'\"])(?!frozen=True)(?:{WORD})(?=\s*(?:=(?!=)|:|,|\)|\]|\bin\b))")
"""What stands before a sign that may follow a new name: a file without it need not be looked at."""


def is_own(symbol, table, parent):
    """Return whether a name of a function is a variable of its own.

    Parameters are, if the function is private or inside another: those of public functions and methods are a
    promise to callers, the name a base class has chosen, or a fixture.
    """
    if symbol.is_parameter():
        private = table.get_name().startswith("_") and not table.get_name().startswith("__")
        return private or table.get_name() == "lambda" or parent.get_type() == "function"
    return symbol.is_assigned() and symbol.is_local() and not symbol.is_namespace()


def bindings(table):
    """Yield the participles among the variables of all functions, with the line where the function begins."""
    for child in table.get_children():
        if child.get_type() == "function":
            for name in child.get_identifiers():
                if PARTICIPLE.fullmatch(name) and is_own(child.lookup(name), child, table):
                    yield name, child.get_lineno()
        yield from bindings(child)


def participles(text):
    """Return the local variables of a source that are participles, each with the line it is first met at."""
    if not MAYBE_BOUND.search(text):
        return []
    lines = text.splitlines()
    return [
        (name, next(at for at in range(start, len(lines) + 1) if re.search(rf"\b{name}\b", lines[at - 1])))
        for name, start in bindings(symtable.symtable(text, "source", "exec"))
    ]


def test_local_variables_are_no_participles():
    paths = {
        path.relative_to(ROOT).as_posix(): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert {"robench", "reports", "tests"} <= {*PACKAGES}
    faults = [
        f"{name}:{line}: `{word}`: name what it holds (record, message, matches); a yes or no is `is_...`"
        for name, path in sorted(paths.items())
        if not name.startswith(SHOWN_IN_A_GUIDE)
        for word, line in participles(path.read_text("utf-8"))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    found = 1",
        "def f():\n    found: int = 1",
        "def f():\n    one, *found = x",
        "def f():\n    for at, found in x:\n        pass",
        "def f():\n    with x as found:\n        pass",
        "def f():\n    if (found := x):\n        pass",
        "def f():\n    try:\n        pass\n    except E as found:\n        pass",
        "def f():\n    match x:\n        case [found, *_]:\n            pass",
        "def _f(found):\n    pass",
        "def f():\n    def inner(*, found=1):\n        pass",
        "class A:\n    def _f(self, **found):\n        pass",
        "class A:\n    def f(self):\n        found = 1",
        "def f():\n    class A:\n        def f(self):\n            found = 1",
        "def f():\n    found = 1\n    return lambda: found",
        "x = [found for found in y]",
        "x = lambda found: found",
    ],
)
def test_every_way_to_give_a_name_is_seen(text):
    assert [name for name, _ in participles(text)] == ["found"]
    assert [name for name, _ in participles(text.replace("found", "scaled"))] == ["scaled"]
    assert participles(text.replace("found", "seed")) == participles(text.replace("found", "record")) == []


def test_the_line_is_that_of_the_name():
    assert participles("x = 1\n\n\ndef f():\n    y = 2\n    kept = y\n") == [("kept", 6)]


@pytest.mark.parametrize(
    "text",
    [
        "found = 1",
        "class A:\n    found: int = 1",
        "def f(found):\n    return g(found=found)",
        "def f(found=None):\n    found = found or 1",
        "class A:\n    def f(self, found):\n        self.found = found",
        "def f():\n    class A(B):\n        def f(self, found):\n            pass",
        "def f():\n    def found():\n        pass",
        "def f():\n    global found\n    found = 1",
        "def f():\n    by_found = '`found`: 1'",
    ],
)
def test_what_is_public_or_no_variable_is_free(text):
    assert participles(text) == []
