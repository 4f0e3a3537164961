"""Changed values are taken back: fewer are never more, and on a linear model nearly the fewest remain."""

import math

import torch

from attacks.minimal.fewer_values import REPAIRS, fewer_values, ranks
from attacks.minimal.sigma_zero import SigmaZero
from attacks.minimal.smallest_change import SmallestChange
from robench.attack.norms import L0
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from tests.attacks.minimal.test_sigma_zero import least_counts
from tests.truths import attacked, broken, classify, images, random_linear


def sizes(x_adv, x):
    return L0.size(x_adv.double() - x.double())


def test_every_value_goes_alone_and_then_every_pair():
    count = 4
    tries = [
        tuple(int(rank) for rank in ranks(torch.tensor([number]), torch.tensor([count])))
        for number in range(count * (count + 1) // 2)
    ]
    assert tries == [(0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]


def test_the_change_of_every_value_comes_down_to_nearly_the_fewest():
    model, x = random_linear(classes=3, shape=(1, 4, 4), seed=5), images(20, (1, 4, 4))
    y = classify(model, x)
    oracle = Oracle(model=model, x=x, y=y, threat=ThreatModel(norm=L0, eps=math.inf), minimise=True)
    weight = model.net[1].weight.detach()
    rival = (y + 1) % 3
    slope = (weight[rival] - weight[y]).view_as(x)
    smallest, ends = SmallestChange(oracle), torch.where(slope > 0, 1.0, 0.0)
    with smallest.meeting(ends):
        oracle.outputs(ends)  # every value at the end that helps one rival
    first_size = oracle.best_size.clone()
    assert first_size.isfinite().all()
    fewer_values(oracle, smallest, removals=60)
    assert torch.equal(smallest.size, oracle.best_size)
    assert torch.equal(smallest.points, oracle.best)
    least, count = least_counts(model, x, y), sizes(oracle.best, x)
    assert broken(model, oracle.best, y).all()
    assert (count >= least).all()
    assert float((count - least).mean()) <= 1
    assert int(oracle.ledger.backwards.max()) <= 60 * (1 + REPAIRS)


def test_nothing_is_spent_on_images_that_nothing_broke_and_none_gets_worse():
    model, x = random_linear(classes=4, shape=(1, 5, 5), seed=3), images(12, (1, 5, 5))
    y = classify(model, x)
    oracle = Oracle(model=model, x=x, y=y, threat=ThreatModel(norm=L0, eps=math.inf), minimise=True)
    fewer_values(oracle, SmallestChange(oracle), removals=5)
    assert oracle.ledger.forwards.tolist() == [0] * 12
    without, with_removals = (
        attacked(SigmaZero(steps=20, restarts=1, removals=n), model, x, y, norm=L0, eps=math.inf)[1]
        for n in (0, 40)
    )
    assert (with_removals.best_size <= without.best_size).all()
    assert float(with_removals.best_size.mean()) < float(without.best_size.mean())


def test_a_change_outside_the_radius_is_remembered_and_of_images_that_were_not_asked_none():
    model, x = random_linear(classes=3, shape=(1, 4, 4), seed=5), images(6, (1, 4, 4))
    y = classify(model, x)
    oracle = Oracle(model=model, x=x, y=y, threat=ThreatModel(norm=L0, eps=1.0), minimise=True)
    weight = model.net[1].weight.detach()
    slope = (weight[(y + 1) % 3] - weight[y]).view_as(x)
    smallest, points = SmallestChange(oracle), torch.where(slope > 0, 1.0, 0.0)
    rows = torch.tensor([True, True, True, True, True, False])
    with oracle.only(rows), smallest.meeting(points):
        oracle.outputs(points)
    falls = rows & (classify(model, points) != y)
    assert bool(falls.any())
    assert torch.equal(smallest.size.isfinite(), falls)
    assert not oracle.broken.any()  # more than one value changed


def test_a_radius_says_what_counts_and_nothing_else():
    model, x = random_linear(classes=4, shape=(1, 5, 5), seed=3), images(30, (1, 5, 5))
    y = classify(model, x)
    attack = SigmaZero(steps=10, restarts=1, removals=20)
    _, free, _ = attacked(attack, model, x, y, norm=L0, eps=math.inf)
    for eps in (1.0, 2.0, 3.0):
        for drop in (False, True):
            x_adv, oracle, _ = attacked(attack, model, x, y, norm=L0, eps=eps, drop=drop)
            assert torch.equal(broken(model, x_adv, y, x, oracle.threat), free.best_size <= eps)
    assert 0 < int((free.best_size <= 2.0).sum()) < len(x)
