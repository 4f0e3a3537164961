"""A radius that looks like a slip of the keys is asked about, and no other."""

import math

import pytest

from robench.plan.radius import slip_in, too_small


@pytest.mark.parametrize("text", ["8/225", "4/252", "0.5/245", "16/265"])
def test_a_denominator_near_255_is_asked_about(text):
    assert f"eps {text} is " in slip_in(text)
    assert slip_in(text).endswith("is usual: was that meant?")


def test_both_radii_are_told():
    assert slip_in("8/225") == "eps 8/225 is 0.03556; 8/255, which is 0.03137, is usual: was that meant?"


@pytest.mark.parametrize(
    "text", ["8/255", "8/256", "1/10", "1/3", "8/200", "8/250", "0.3", "inf", "8/1000", "2/22"]
)
def test_others_are_not(text):
    assert slip_in(text) == ""


def test_an_linf_radius_of_less_than_half_a_grey_level_is_asked_about():
    assert too_small("Linf", 0.1 / 255, "0.1/255") == (
        "eps 0.1/255 is 0.00039, 0.1 of the 255 grey levels of a pixel: was that meant?"
    )
    assert not any(too_small("Linf", eps, "") for eps in (0.0, 0.5 / 255, 1 / 255, math.inf))
    assert too_small("L2", 0.0003, "0.0003") == ""
