"""A plugin that is right keeps every law; one with a single fault breaks the law meant, and no other."""

import pytest

from robench.conformance import (
    Verdict,
    check_attack,
    check_dataset,
    check_defense,
    check_head,
    check_model,
    failures,
)
from robench.conformance import recipes as recipe_laws
from robench.conformance.result import judged, require
from robench.conformance.toys import toy_images, toy_model
from robench.errors import InputError
from tests.robench.conformance import mutants
from tests.robench.conformance.heavy import Heavy

CHECKS = {
    mutants.Honest: check_attack,
    mutants.Trainer: check_defense,
    mutants.Backbone: check_model,
    mutants.Head: check_head,
    mutants.Inverted: check_defense,
    mutants.Pictures: check_dataset,
}
MUTANTS = [
    (check, kind) for base, check in CHECKS.items() for kind in mutants.kinds_of(base) if kind is not Heavy
]


@pytest.fixture(autouse=True)
def clean():
    mutants.KEPT.clear()


@pytest.fixture
def no_import(monkeypatch):
    """Spare the new process of the law `light`, which is tested on its own."""

    class Done:
        returncode, stderr = 0, ""

    monkeypatch.setattr(recipe_laws.subprocess, "run", lambda *args, **options: Done())


@pytest.mark.usefixtures("no_import")
@pytest.mark.parametrize("base", CHECKS, ids=lambda kind: kind.__name__)
def test_what_is_right_keeps_every_law_and_every_law_has_a_mutant(base):
    results = CHECKS[base](base())
    assert not failures(results), "\n".join(map(str, failures(results)))
    applies = {result.law for result in results if result.verdict is Verdict.HOLDS}
    assert len(applies) >= len(results) - 1
    laws = {kind.breaks for kind in mutants.kinds_of(base)}
    # The same code for every kind of plugin, tried on one of them.
    assert {result.law for result in results} - laws <= {"described", "light", "seed"} | (
        {"builds", "kind", "offers", "own-outputs", "chance"} if base is mutants.Inverted else set()
    )


@pytest.mark.usefixtures("no_import")
@pytest.mark.parametrize(("check", "kind"), MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_breaks_the_law_meant_and_no_other(check, kind):
    breaches = failures(check(kind()))
    assert [result.law for result in breaches] == [kind.breaks], "\n".join(map(str, breaches))
    assert breaches[0].evidence


@pytest.mark.usefixtures("no_import")
def test_an_attack_that_cannot_be_repeated_is_caught():
    breaches = {result.law for result in failures(check_attack(mutants.Wanders()))}
    assert {"seed", "described"} <= breaches  # it is no dataclass either


@pytest.mark.parametrize("kind", [Heavy, mutants.Honest])
def test_a_module_that_imports_torch_is_caught(kind):
    (result,) = [r for r in check_attack(kind()) if r.law == "light"]
    assert result.failed == (kind is Heavy)
    assert kind.__module__ in result.evidence


@pytest.mark.usefixtures("no_import")
def test_missing_files_are_no_fault():
    class Missing(mutants.Pictures):
        """Has no files here."""

        def changed(self, data):
            raise InputError(expected="the file pictures.bin", got="none")

    results = check_dataset(Missing())
    assert not failures(results)
    assert "pictures.bin" in next(r for r in results if r.law == "leak").evidence


def test_where_nothing_runs_the_other_laws_are_not_looked_at():
    def gate(subject):
        """It works."""
        require(False, "it does not")

    def rest(subject):
        """Never asked."""
        raise AssertionError

    first, second = judged(None, first=[], gate=gate, rest=[rest])
    assert (first.failed, first.evidence) == (True, "[it does not]")
    assert second.verdict is Verdict.NOT_APPLICABLE
    assert "'gate' fails" in str(second)


def test_the_toy_model_gives_an_image_the_same_bits_in_every_batch():
    x, model = toy_images(), toy_model()
    whole = model.net(x)
    for size in (1, 5, 7):
        parts = [model.net(part) for part in x.split(size)]
        assert all(one.equal(two) for one, two in zip(parts, whole.split(size), strict=True))
