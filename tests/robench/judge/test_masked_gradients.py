"""Defenses whose gradients mislead are told apart from networks that are robust or plain."""

import pytest
import torch

from reports.board.leaderboard import boards
from robench.api import benchmark, make_attack
from robench.judge.gradient_probes import _unexplained
from tests.robench.judge.masked_gradients import digits, trained

DEFENSES = ("kwta", "mean-sparse", "ode")


def row_of(model, attacks):
    _, _, data = digits()
    result = benchmark([model], data, attacks=attacks, norm="Linf", eps=0.1)
    assert result.failures == ()
    return boards(result.records)[0].rows[0]


@pytest.mark.thorough
@pytest.mark.parametrize("name", DEFENSES)
def test_a_row_measured_by_misled_gradients_alone_is_in_doubt(name):
    row = row_of(trained(name), {"pgd": make_attack("pgd", steps=40)})
    assert "wrong-gradient" in row.unlifted
    assert row.rank is None


@pytest.mark.thorough
def test_a_plain_network_is_not():
    row = row_of(trained("relu"), {"pgd": make_attack("pgd", steps=40)})
    assert row.unlifted == ()
    assert row.rank == 1


@pytest.mark.thorough
@pytest.mark.parametrize("name", DEFENSES)
def test_what_gradients_overlook_is_there(name):
    """Else the gallery would say nothing: a stronger attack breaks many images more."""
    attacks = {"pgd": make_attack("pgd", steps=40), "stronger": make_attack("economical_autoattack")}
    row = row_of(trained(name), attacks)
    assert row.attacks["pgd"].count - row.attacks["stronger"].count >= 8


def visits(loss, slope, places):
    at = [torch.full((1, 1, 1, 1), float(place), dtype=torch.float64) for place in places]
    return [(x, loss(x).flatten(), slope(x)) for x in at]


def test_gradients_that_add_up_leave_nothing_unexplained():
    places = torch.linspace(0, 1, 9)
    square = visits(lambda x: x.square(), lambda x: 2 * x, places)  # the trapezoidal rule is exact
    assert float(_unexplained(square)) < 1e-12
    jump = visits(lambda x: (x > 0.5).double(), torch.zeros_like, places)
    assert float(_unexplained(jump)) == 1.0
    half = visits(lambda x: 2 * x, torch.ones_like, places)  # half of the rise is the gradient's
    assert float(_unexplained(half)) == pytest.approx(0.5)
    still = visits(torch.zeros_like, torch.zeros_like, places)
    assert bool(_unexplained(still).isnan())
