"""Our own plugins keep the laws; a few quick ones in every test run, all of them with `-m slow`."""

import dataclasses

import pytest

from robench import plugins
from robench.conformance import CHECKED, Verdict, checks, failures
from robench.errors import PluginError
from robench.recipe import build

QUICK = {
    "attacks": ("fgsm", "pgd", "cw", "branch_and_bound", "torchattacks/pgd"),
    "defenses": ("natural", "bit_depth"),
    "models": ("digits_cnn", "raw_pixels"),
    "heads": ("linear", "wnll", "laplace", "gll"),
    "datasets": ("digits", "npz"),
}
TRAINING = {"epochs": 2, "batch_size": 16, "learning_rate": 0.1, "validation": 0.2}
ATTACKED = {"eps": 0.15, "steps": 2}
GRAPH = {"m": 6, "n": 3, "template": 30, "wnll_epochs": 1, "wnll_batch_size": 20}
LAYER = {"head_options": {"m": 6}, "per_class": 6, "template": 30}
OPTIONS = {
    "pgd_training": ATTACKED,
    "trades": ATTACKED,
    "mart": ATTACKED,
    "fast": ATTACKED,
    "free": ATTACKED | {"replays": 2},
    "distillation": {"temperature": 3.0},
    "wnll_natural": GRAPH,
    "wnll_semi_supervised": GRAPH,
    "wnll_pgd": GRAPH | ATTACKED | {"passes": 1},
    "graph_natural": LAYER,
    "graph_pgd": LAYER | ATTACKED,
    "ensemble": {"eps": 0.15, "others": 2, "other_epochs": 1},
    "autoattack": {"scale": 0.02},
    "branch_and_bound": {"seconds": None, "domains": 60, "restarts": 2, "minimisers": 2},
    "economical_autoattack": {
        "first_steps": 2,
        "steps": 3,
        "fab_steps": 3,
        "fab_classes": 2,
        "rounds": 2,
        "near_steps": 3,
        "near_tries": 1,
        "least_queries": 4,
        "queries": 20,
        "end_steps": 3,
        "refine_queries": 10,
    },
    "art/evasion": {"attack": "DeepFool", "options": {"max_iter": 5}},
}
SHORT = {"steps": 3, "queries": 20, "binary_search_steps": 1}
"""Smaller values for options of these names, so that a check is short."""
OPTIONAL = "foolbox/"
"""What the names of plugins begin with whose library need not be installed."""


def made(kind, name):
    """Return a plugin with options that fit the toys."""
    recipe = plugins.find(kind, name)
    options = dict(OPTIONS.get(name, {}))
    if kind == "defenses" and recipe.info.stage == "training":
        options = TRAINING | options
    if kind == "attacks":
        fields = {field.name for field in dataclasses.fields(recipe)}
        options = {key: value for key, value in SHORT.items() if key in fields} | options
    try:
        return build(recipe, options, where=name)
    except PluginError as error:
        if not name.startswith(OPTIONAL):
            raise
        pytest.skip(str(error))


def ours(kind):
    return [name for name in plugins.names(kind) if plugins.distribution(kind, name) == "robench"]


def results_of(kind, name):
    results = list(checks(kind, made(kind, name)))
    assert any(result.verdict is Verdict.HOLDS for result in results)
    assert not failures(results), "\n".join(map(str, failures(results)))


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in QUICK.items() for name in names])
def test_a_quick_plugin_keeps_the_laws(kind, name):
    results_of(kind, name)


# Libraries warn about each other when they are imported; that is no law of ours.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in CHECKED for name in ours(kind) if name not in QUICK[kind]]
)
def test_every_other_plugin_keeps_the_laws(kind, name):
    results_of(kind, name)


@pytest.mark.slow
def test_a_library_that_stops_the_batch_as_a_whole_does_not_pass_for_independent():
    recipe = build(plugins.find("attacks", "torchattacks/cw"), {"steps": 200}, where="test")
    (result,) = [result for result in checks("attacks", recipe) if result.law == "batch"]
    assert result.verdict is not Verdict.HOLDS
