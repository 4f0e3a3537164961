"""Learning rates against values computed by hand; contradictory options are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from defenses.natural import Natural
from defenses.pgd_training import PGDTraining
from defenses.training.options import TrainingOptions, learning_rate
from robench import plugins
from robench.errors import ConfigError
from robench.plan.spec import content_hash
from robench.recipe import build, describe, identity_of


def rates(steps, **options):
    recipe = TrainingOptions(learning_rate=0.1, **options)
    return [learning_rate(recipe, step, steps) for step in range(steps)]


def test_constant():
    assert rates(3, epochs=1, schedule="constant") == [0.1] * 3


def test_multistep_falls_after_so_many_epochs():
    expected = [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    assert rates(8, epochs=4, schedule="multistep", milestones=(2, 3), gamma=0.5) == pytest.approx(expected)


def test_cosine_is_read_at_the_middle_of_each_step():
    # 0.05 * (1 + cos(pi / 4)) and 0.05 * (1 + cos(3 pi / 4))
    assert rates(2, epochs=1, schedule="cosine") == pytest.approx([0.0853553, 0.0146447], rel=1e-5)


def test_cyclic_rises_and_falls_in_straight_lines():
    # peak at 0.4 of 5 steps: (0.1, 0.3) / 0.4, then (0.5, 0.3, 0.1) / 0.6
    expected = [0.025, 0.075, 0.0833333, 0.05, 0.0166667]
    assert rates(5, epochs=1, schedule="cyclic", warm_up=0.4) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 2, "learning_rate": float("nan")}, "learning_rate"),
        ({"epochs": 2, "momentum": 0.0}, "nesterov: false"),
        ({"epochs": 2, "schedule": "cosine", "milestones": (1,)}, "schedule: multistep"),
        ({"epochs": 2, "schedule": "multistep", "milestones": (5,)}, "rising epoch counts from 1 to 1"),
        ({"epochs": 2, "schedule": "step"}, "one of constant, multistep"),
        ({"epochs": 2, "validation": 0.0}, "keep: last"),
        ({"epochs": 2, "validation": 1.0}, "validation"),
        ({"epochs": 2, "clip_norm": 0.0}, "clip_norm"),
        ({"epochs": 2, "weight_decay": -1.0}, "weight_decay"),
        ({"monitor_eps": 0.0}, "monitor_eps"),
        ({"monitor_steps": 0}, "monitor_steps"),
        ({"monitor_norm": "L1"}, "monitor_norm"),
        ({"monitor_eps": 0.1, "validation": 0.0, "keep": "last"}, "held-out part to attack"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        Natural(**options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"eps": 0.0}, "eps"),
        ({"eps": 0.1, "warmup_epochs": 5.0}, "from 0 to epochs"),
        ({"eps": 0.1, "steps": 0}, "steps"),
        ({"eps": 0.1, "step_size": -0.1}, "step_size"),
        ({"eps": 0.1, "norm": "L1"}, "norm"),
        ({"eps": 0.1, "attack_mode": "test"}, "attack_mode"),
    ],
)
def test_attack_options_that_mean_nothing_are_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        PGDTraining(epochs=2, **options)


def trainings():
    """Return the training defenses there are, by name."""
    every = {name: plugins.find("defenses", name) for name in plugins.names("defenses")}
    return {name: kind for name, kind in every.items() if kind.info.stage == "training"}


IN_255THS = [
    (name, option)
    for name, kind in trainings().items()
    for option in ("eps", "monitor_eps", "step_size")
    if option in describe(kind)
]


@pytest.mark.parametrize(("name", "option"), IN_255THS)
def test_no_training_takes_an_linf_length_that_was_meant_in_255ths(name, option):
    kind, others = plugins.find("defenses", name), {"epochs": 20}
    others |= {"eps": 0.1} if "eps" in describe(kind) else {}
    match = rf"{option}.*an Linf (radius|step) of at most 1, got 8\.0\. Pixels live in \[0, 1\]: write 8/255"
    with pytest.raises(ConfigError, match=match):
        build(kind, {**others, option: 8}, where="test")
    build(kind, {**others, option: 1}, where="test")
    norm = "monitor_norm" if option == "monitor_eps" else "norm"
    if norm in describe(kind):
        build(kind, {**others, norm: "L2", option: 8}, where="test")


def test_every_training_with_a_radius_is_looked_at():
    assert {name for name, option in IN_255THS if option == "monitor_eps"} == set(trainings())
    assert len([name for name, option in IN_255THS if option == "eps"]) >= 10


def test_recipes_are_built_from_plain_options():
    options = {"epochs": 3, "eps": "8/255", "schedule": "multistep", "milestones": [1, 2]}
    recipe = build(PGDTraining, options, where="suite.yaml:3")
    assert recipe.eps == 8 / 255
    assert recipe.milestones == (1, 2)
    assert set(describe(Natural)) < set(describe(PGDTraining))
    with pytest.raises(ConfigError, match=r"suite\.yaml:3.*schedule"):
        build(Natural, {"epochs": 3, "schedule": "step"}, where="suite.yaml:3")


PAPERS = {
    "natural": (400, 0.05, (50, 100, 150, 200, 250, 300, 350), 0.5),
    "svm": (400, 0.05, (50, 100, 150, 200, 250, 300, 350), 0.5),
    "wnll_natural": (400, 0.05, (50, 100, 150, 200, 250, 300, 350), 0.5),
    "distillation": (50, 0.01, (10, 20, 30, 40), 0.5),
    "manifold_mixup": (1200, 0.1, (400, 800), 0.1),
    "pgd_training": (120, 0.1, (80, 100, 110), 0.1),
    "wnll_pgd": (120, 0.1, (80, 100, 110), 0.1),
    "trades": (100, 0.1, (75, 90), 0.1),
    "mart": (120, 0.01, (75, 90), 0.1),
    "free": (26, 0.1, (13, 20), 0.1),
    "fast": (15, 0.2, (), 0.1),
    "ensemble": (12, 0.001, (), 0.1),
    "ibp_training": (100, 0.001, (25, 42), 0.1),
}
NEEDS_NO_RADIUS = ("natural", "svm", "wnll_natural", "distillation", "manifold_mixup")


@pytest.mark.parametrize("name", PAPERS)
def test_the_defaults_are_those_of_the_paper(name):
    kind = plugins.find("defenses", name)
    recipe = build(kind, {} if name in NEEDS_NO_RADIUS else {"eps": "8/255"}, where="test")
    assert (recipe.epochs, recipe.learning_rate, recipe.milestones, recipe.gamma) == PAPERS[name]
    if name not in NEEDS_NO_RADIUS:
        with pytest.raises(ConfigError, match="eps"):
            build(kind, {}, where="test")


def test_the_learning_rate_of_algorithm_1_is_halved_every_50_epochs():
    recipe, steps = Natural(), 13
    rates = [learning_rate(recipe, epoch * steps, 400 * steps) for epoch in (0, 49, 50, 199, 200, 399)]
    assert rates == [0.05, 0.05, 0.025, 0.05 / 8, 0.05 / 16, 0.05 / 128]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 11, 60, 1000])
@pytest.mark.parametrize("name", PAPERS)
def test_another_length_keeps_the_shape_of_the_schedule(name, epochs):
    options = {"epochs": epochs} | ({} if name in NEEDS_NO_RADIUS else {"eps": 0.1})
    recipe = build(plugins.find("defenses", name), options, where="test")
    full, _, milestones, _ = PAPERS[name]
    assert list(recipe.milestones) == sorted(set(recipe.milestones))
    assert all(0 < m < epochs for m in recipe.milestones)
    for milestone in recipe.milestones:
        assert min(abs(milestone - m * epochs / full) for m in milestones) <= 0.5 + 0.5 * epochs / full
    if epochs >= full:
        assert len(recipe.milestones) == len(milestones)


def test_options_that_came_later_are_no_part_of_the_identity_at_their_defaults():
    plain = identity_of(Natural(epochs=3, schedule="cosine"))
    assert not [name for name in plain if name.startswith("monitor")]
    assert plain["milestones"] == []
    assert plain["gamma"] == 0.1
    with_monitor = identity_of(Natural(epochs=3, schedule="cosine", monitor_eps=0.1))
    assert with_monitor == plain | {"monitor_eps": 0.1}


OLD = {
    "eps": 0.3, "steps": 7, "step_size": 0.1, "warmup_epochs": 2, "epochs": 26, "learning_rate": 0.05,
    "weight_decay": 0.0, "schedule": "cyclic", "clip_norm": 1.0,
}  # fmt: skip
OLD_KEY = "19224e4e907e1e3f3508f60368a00d70"


def test_the_keys_of_weights_made_before_are_what_they_were():
    """Computed with the release that had no monitor, no paper's schedule and no `None` for milestones."""
    recipe = build(PGDTraining, OLD, where="test")
    assert content_hash(identity_of(recipe)) == OLD_KEY


def test_the_radius_grows_in_a_straight_line():
    recipe = PGDTraining(epochs=4, eps=0.3, warmup_epochs=2)
    assert [recipe.radius(epoch) for epoch in (0.5, 1, 2, 3)] == pytest.approx([0.075, 0.15, 0.3, 0.3])
    assert PGDTraining(epochs=4, eps=0.3, warmup_epochs=0).radius(0.01) == 0.3


def test_recipes_import_without_torch():
    code = "import sys, defenses.natural, defenses.pgd_training; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
