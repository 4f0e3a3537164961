"""Closing in: the exact distance on linear models, from changes that are far too large."""

import math

import pytest
import torch

from attacks.minimal.closing_in import close_in
from attacks.minimal.smallest_change import SmallestChange
from robench.attack.norms import L2, LINF
from robench.attack.protocol import AttackInfo
from tests.truths import attacked, classify, images, random_linear

WIDE = 3.0
"""How many times the least change the first one is, and where it leads: not straight to the boundary."""


class CloseIn:
    """Starts from changes that break the images, and keeps the oracle and the smallest changes for a test."""

    info = AttackInfo(title="Close in", paper="none", norms=("Linf", "L2"), minimises=True)

    def __init__(self, start, steps):
        self.start, self.steps = start, steps

    def __call__(self, oracle, _rng):
        self.smallest = SmallestChange(oracle)
        with self.smallest.meeting(self.start):
            oracle.outputs(self.start)
        self.first = self.smallest.size
        close_in(oracle, self.smallest, steps=self.steps)
        return self.smallest.points


def problem(norm):
    """A linear model of two classes, images far from the box's ends, and points that break them."""
    model, x = random_linear(classes=2, shape=(1, 6, 6), seed=5), images(20, (1, 6, 6)) * 0.2 + 0.4
    weight, bias = model.net[1].weight.detach().double(), model.net[1].bias.detach().double()
    slope, y = weight[1] - weight[0], classify(model, x)
    lead = x.double().flatten(1) @ slope + bias[1] - bias[0]
    dual = 1 if norm is LINF else 2
    least = lead.abs() / slope.norm(p=dual)
    way = (-lead.sign()[:, None] * slope).view(x.shape)
    aside = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    start = x + (WIDE * least.view(-1, 1, 1, 1) * (norm.ascent(way) + 0.1 * aside)).float()
    return model, x, y, start, least


@pytest.mark.parametrize("norm", [LINF, L2])
def test_it_comes_near_the_exact_distance_of_a_linear_model(norm):
    model, x, y, start, least = problem(norm)
    attack = CloseIn(start, steps=300)
    attacked(attack, model, x, y, norm=norm, eps=math.inf)
    ratio = attack.smallest.size.double() / least
    assert (attack.first.double() / least).min() > 1.5
    assert ratio.min() > 1 - 1e-4  # no attack can do with less
    assert ratio.max() < 1.01
    assert (classify(model, attack.smallest.points) != y).all()


def test_each_step_costs_one_pass_of_each_kind():
    model, x, y, start, _ = problem(LINF)
    _, oracle, _ = attacked(CloseIn(start, steps=30), model, x, y, norm=LINF, eps=math.inf)
    assert oracle.ledger.backwards.tolist() == [30] * len(x)
    assert oracle.ledger.forwards.tolist() == [31] * len(x)


def test_images_that_nothing_breaks_or_that_are_wrong_cost_nothing():
    model, x, y, start, _ = problem(LINF)
    start[0], y[1] = x[0], 1 - y[1]  # the first is not broken by its point, the second is wrong as it is
    attack = CloseIn(start, steps=30)
    _, oracle, _ = attacked(attack, model, x, y, norm=LINF, eps=math.inf)
    assert oracle.ledger.backwards[:2].tolist() == [0, 0]
    assert torch.equal(attack.smallest.points[0], x[0])
    assert oracle.ledger.backwards[2:].min() == 30


def test_a_result_does_not_depend_on_other_images():
    model, x, y, start, _ = problem(LINF)
    together, alone = CloseIn(start, steps=40), CloseIn(start[3:4], steps=40)
    attacked(together, model, x, y, norm=LINF, eps=math.inf)
    attacked(alone, model, x[3:4], y[3:4], norm=LINF, eps=math.inf)
    assert torch.allclose(together.smallest.points[3:4], alone.smallest.points, atol=1e-6)
