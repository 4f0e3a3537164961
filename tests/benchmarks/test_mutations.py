"""Small faults are made where code is run, one at a time, and the module is whole again after each."""

import sys
import types
from pathlib import Path

import pytest

from benchmarks.fresh_imports import forget, imports, install, users_of
from benchmarks.mutants import TESTS, default_tests
from benchmarks.mutations import mutants


def texts(source):
    return [mutant.text for mutant in mutants(source, "<source>")]


def values(source, expression):
    """Return what an expression is in every mutant; None where it has no value."""
    results = []
    for mutant in mutants(source, "<source>"):
        space = {}
        try:
            exec(mutant.code, space)
            results.append(eval(expression, space))
        except Exception as error:  # noqa: BLE001 - a mutant may do anything
            results.append(type(error))
    return results


def test_every_boundary_and_constant_of_a_comparison():
    assert texts("ok = a < 3") == [
        "`a < 3` becomes `a <= 3`",
        "`a < 3` becomes `a >= 3`",
        "`3` becomes `4`",
        "`3` becomes `2`",
    ]
    assert values("a = 3\nok = a < 3", "ok") == [False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a and b", ["`a and b` becomes `a or b`"]),
        ("x = not a", ["`not a` becomes `a`"]),
        ("x = -a + b", ["`-a + b` becomes `-a - b`", "`-a` becomes `a`"]),
        ("x = a is None", ["`a is None` becomes `a is not None`"]),
        ("x = b in c", ["`b in c` becomes `b not in c`"]),
        ("x = True", ["`True` becomes `False`"]),
        ("x = 0.25", ["`0.25` becomes `0.5`", "`0.25` becomes `0.125`"]),
        ("x = 2.0", ["`2.0` becomes `3.0`", "`2.0` becomes `1.0`"]),
        ("x = a if b else c", ["`b` becomes `not b`"]),
        ("x = [a for a in b if a]", ["`a` becomes `not a`"]),
        ("f(a)", ["`f(a)` becomes `pass`"]),
        ("a.b = c", ["`a.b = c` becomes `pass`"]),
        ("a += b", ["`a += b` becomes `a -= b`", "`a += b` becomes `pass`"]),
        ("a = f(a)", ["`a = f(a)` becomes `pass`"]),
        ("def f(): return a", ["`return a` becomes `return None`"]),
        ("while a: break", ["`a` becomes `not a`", "`break` becomes `pass`"]),
    ],
)
def test_each_kind_of_fault(source, expected):
    assert texts(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring of 3 words."""',
        "x: 'int | 3' = a",
        "@frozen(slots=True)\ndef f(a: 3) -> 4: pass",
        "if TYPE_CHECKING:\n    import a\n    f(1)",
        "x = SomeError(got=1, expected=2)",
        "assert a == 1",
    ],
)
def test_nothing_is_done_to_what_is_not_run_or_only_said(source):
    assert texts(source) == []


def test_of_an_error_only_that_it_is_raised():
    assert texts("raise SomeError(1 + 2)") == ["`raise SomeError(1 + 2)` becomes `pass`"]


def test_lines_are_those_that_must_be_run():
    source = "def f(a=1,\n      b=2):\n    c = 3\n    return (c +\n            4)\nif a:\n    g()\n"
    lines = {mutant.text: mutant.lines for mutant in mutants(source, "<source>")}
    assert lines["`1` becomes `2`"] == lines["`2` becomes `3`"] == (3, 5)  # a default: the body
    assert lines["`3` becomes `4`"] == (3, 3)
    assert lines["`4` becomes `5`"] == (4, 5)
    assert lines["`a` becomes `not a`"] == (6, 6)
    assert lines["`g()` becomes `pass`"] == (7, 7)


def test_each_mutant_has_one_fault_and_none_of_the_one_before():
    source = "def f(a, b):\n    return a + b * 2\n"
    # a - b * 2, a + b / 2, a + b * 3, a + b * 1, nothing
    assert sorted(map(str, values(source, "f(10, 4)"))) == sorted(["None", "2", "12.0", "22", "14"])
    assert all(isinstance(mutant.code, types.CodeType) for mutant in mutants(source, "<source>"))


def test_a_module_is_imported_anew_with_whoever_uses_it(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.fresh_imports.PACKAGES", ("mutated_package",))
    package = tmp_path / "mutated_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "low.py").write_text("LIMIT = 3\n")
    (package / "high.py").write_text("from mutated_package.low import LIMIT\nDOUBLE = 2 * LIMIT\n")
    (package / "aside.py").write_text("ELSE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    from mutated_package import aside, high

    assert imports(high) == {"mutated_package.low", "mutated_package.low.LIMIT"}
    assert high.DOUBLE == 6
    (four, _two) = mutants((package / "low.py").read_text(), str(package / "low.py"))
    users = users_of("mutated_package.low")
    assert users == {"mutated_package.low", "mutated_package.high"}
    forget(users)
    install("mutated_package.low", package / "low.py", four.code)
    from mutated_package import aside as same
    from mutated_package.high import DOUBLE

    assert DOUBLE == 8
    assert same is aside
    for name in [name for name in sys.modules if name.startswith("mutated_package")]:
        del sys.modules[name]


@pytest.mark.parametrize("file", TESTS)
def test_the_tests_of_every_module_that_is_tried_exist(file):
    assert Path(file).is_file()
    assert all(Path(test).is_file() for test in default_tests(Path(file)))
