"""Attacks of libraries in a configuration: by their names, with their options, and refused with a line."""

from pathlib import Path

import pytest

from robench.errors import ConfigError, PluginError
from robench.plan.config import parse

TEXT = """
dataset: digits
models:
  - {{name: a, architecture: digits_cnn, train: {{defense: natural}}}}
threats:
  - norm: {norm}
    eps: {eps}
    goal: {goal}
    attacks: [{attack}]
"""


def plan(attack, *, norm="Linf", eps=0.1, goal="untargeted"):
    text = TEXT.format(attack=attack, norm=norm, eps=eps, goal=goal)
    return parse(text, file=Path("c.yaml"), overrides=None)


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        ("art/ProjectedGradientDescent", "art/ProjectedGradientDescent"),
        ("{art/projectedgradientdescent: {max_iter: 3}}", "art/ProjectedGradientDescent"),
        ("PGD", "pgd"),
        ("art/pgd", "art/pgd"),
    ],
)
def test_a_plan_holds_the_name_it_is_listed_by(attack, name):
    (spec,) = plan(attack).threats[0].attacks
    assert (spec.label, spec.attack.name) == (name, name)


@pytest.mark.parametrize(
    ("attack", "options", "error", "message"),
    [
        (
            "{art/ProjectedGradientDescent: {max_itr: 3}}",
            {},
            ConfigError,
            r"'max_itr'.*'max_iter'",
        ),
        ("{art/ProjectedGradientDescent: {max_iter: many}}", {}, ConfigError, "max_iter"),
        ("art/DeepFool", {}, ConfigError, "expected an attack under Linf"),
        (
            "art/DeepFool",
            {"norm": "L2", "goal": "targeted"},
            ConfigError,
            "plays untargeted only",
        ),
        ("art/SaliencyMapMethod", {}, ConfigError, "plays targeted only"),
        ("art/ProjectedGradientDescent", {"eps": "inf"}, ConfigError, "needs a radius"),
        ("carlinil2method", {}, PluginError, "write 'art/CarliniL2Method'"),
        ("art/DPatch", {}, PluginError, "left out: it attacks object detectors"),
    ],
)
def test_what_cannot_be_played_is_refused_with_its_line(attack, options, error, message):
    with pytest.raises(error, match=message) as refusal:
        plan(attack, **options)
    assert refusal.value.where.endswith("c.yaml:9")


def test_a_library_that_is_missing_is_told_with_the_line(monkeypatch):
    from attacks.libraries import rows

    monkeypatch.setattr(rows, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match="pip install foolbox") as error:
        plan("foolbox/LinfPGD")
    assert error.value.where.endswith("c.yaml:9")
