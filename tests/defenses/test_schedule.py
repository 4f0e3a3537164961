"""Learning rates against values computed by hand; contradictory options are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from defenses.natural import Natural
from defenses.pgd_training import PGDTraining
from defenses.schedule import TrainingOptions, learning_rate
from robench.errors import ConfigError
from robench.recipe import build, describe


def rates(steps, **options):
    made = TrainingOptions(learning_rate=0.1, **options)
    return [learning_rate(made, step, steps) for step in range(steps)]


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
        ({"epochs": 2, "milestones": (1,)}, "schedule: multistep"),
        ({"epochs": 2, "schedule": "multistep", "milestones": (5,)}, "rising epoch counts from 1 to 1"),
        ({"epochs": 2, "schedule": "step"}, "one of constant, multistep"),
        ({"epochs": 2, "validation": 0.0}, "keep: last"),
        ({"epochs": 2, "validation": 1.0}, "validation"),
        ({"epochs": 2, "clip_norm": 0.0}, "clip_norm"),
        ({"epochs": 2, "weight_decay": -1.0}, "weight_decay"),
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


def test_recipes_are_built_from_plain_options():
    options = {"epochs": 3, "eps": "8/255", "schedule": "multistep", "milestones": [1, 2]}
    made = build(PGDTraining, options, where="suite.yaml:3")
    assert made.eps == 8 / 255
    assert made.milestones == (1, 2)
    assert set(describe(Natural)) < set(describe(PGDTraining))
    with pytest.raises(ConfigError, match=r"suite\.yaml:3.*schedule"):
        build(Natural, {"epochs": 3, "schedule": "step"}, where="suite.yaml:3")


def test_the_radius_grows_in_a_straight_line():
    made = PGDTraining(epochs=4, eps=0.3, warmup_epochs=2)
    assert [made.radius(passed) for passed in (0.5, 1, 2, 3)] == pytest.approx([0.075, 0.15, 0.3, 0.3])
    assert PGDTraining(epochs=4, eps=0.3, warmup_epochs=0).radius(0.01) == 0.3


def test_recipes_import_without_torch():
    code = "import sys, defenses.natural, defenses.pgd_training; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
