"""Radii that limit nothing are spoken of."""

import math

import pytest

from defenses.natural import Natural
from defenses.pgd_training import PGDTraining
from robench.plan.spec import ThreatSpec
from robench.run.models.radius_checks import warn_of_wide_radii, warn_of_wide_training


@pytest.mark.parametrize(
    ("norm", "eps", "is_wide"),
    [
        ("L2", 8.0, True),
        ("L2", 7.99, False),
        ("L1", 64.0, True),
        ("L1", 8.0, False),
        ("L2", math.inf, False),
        ("L0", 64.0, False),
        ("Linf", 1.0, False),
    ],
)
def test_a_radius_as_wide_as_all_images_together_is_named(norm, eps, is_wide, caplog):
    warn_of_wide_radii([ThreatSpec(norm=norm, eps=eps, eps_text=f"{eps:g}")], (1, 8, 8))
    assert (f"{norm} radius {eps:g}: " in caplog.text) == is_wide
    if is_wide:
        assert f"Write {eps:g}/255" in caplog.text


@pytest.mark.parametrize(
    ("defense", "is_wide"),
    [
        (PGDTraining(eps=8.0, norm="L2"), True),
        (PGDTraining(eps=7.99, norm="L2"), False),
        (PGDTraining(eps=1.0), False),
        (Natural(monitor_eps=8.0, monitor_norm="L2"), True),
        (Natural(), False),
    ],
)
def test_a_training_within_a_radius_as_wide_as_all_images_together_is_named(defense, is_wide, caplog):
    warn_of_wide_training(defense, (1, 8, 8))
    assert ("L2 radius 8 of the training: " in caplog.text) == is_wide
