"""Radii that limit nothing are spoken of."""

import math

import pytest

from robench.plan.spec import ThreatSpec
from robench.run.radius_checks import warn_of_wide_radii


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
