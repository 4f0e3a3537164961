"""Square: two-pixel brute force, the schedule and the windows by hand, and laws."""

import math

import pytest
import torch

from attacks.query.square import Square
from attacks.query.square_windows import (
    area,
    bump,
    bumps_everywhere,
    corners,
    cut,
    inside,
    move_mass,
    numbers,
    paint,
    place,
    signs,
    stripes,
)
from robench.attack.norms import L1, L2, LINF, NORMS
from robench.attack.oracle import Oracle
from robench.attack.protocol import Knowledge
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.randomness import Randomness
from robench.recipe import build
from tests.attacks.toys import LAWS, distances, two_pixels
from tests.truths import Lambda, attacked, broken, classify, images, random_linear, small_net

norms = pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
SHAPE = (3, 7, 9)


def luck(x, seed=0):
    return Randomness(seed, torch.arange(len(x))).uniform(x.new_empty(len(x), numbers(x)))


@pytest.mark.thorough
@norms
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(law, norm):
    law(Square(queries=30), norm)


@pytest.mark.thorough
def test_under_linf_it_breaks_two_classes_where_geometry_says():
    model = random_linear(classes=2, shape=(1, 4, 4), centred=True)
    x = images(40, (1, 4, 4), 0, 0.45, 0.55)
    y = classify(model, x)
    distance = distances(model, x, y, "Linf")
    eps = float(distance.median())
    x_adv, _, _ = attacked(Square(queries=300), model, x, y, eps=eps, drop=True)
    sure = (distance - eps).abs() > 1e-4 * eps
    assert torch.equal(broken(model, x_adv, y)[sure], (distance < eps)[sure])


@pytest.mark.thorough
@pytest.mark.parametrize(("norm", "missed"), [("Linf", 2), ("L2", 12), ("L1", 14)])
def test_it_breaks_what_brute_force_breaks_and_nothing_else(norm, missed):
    """Two pixels have room for signs and little else: under L2 and L1 only few directions are ever tried."""
    model, x, y, truth = two_pixels(norm, 0.12)
    x_adv, oracle, _ = attacked(Square(queries=100), model, x, y, norm=NORMS[norm], eps=0.12)
    breaks = broken(model, x_adv, y, x, oracle.threat)
    assert not (breaks & ~truth).any()
    assert int((truth & ~breaks).sum()) <= missed < int(truth.sum())


@pytest.mark.thorough
@norms
def test_more_queries_never_do_worse_and_no_gradient_is_asked_for(norm):
    model, x = small_net(seed=1, shape=(1, 10, 10)), images(30, (1, 10, 10))
    y = classify(model, x)
    eps = {"Linf": 0.03, "L2": 0.25, "L1": 1.5}[norm]
    count = []
    for queries in (1, 100):
        x_adv, oracle, _ = attacked(
            Square(queries=queries, rescale=False), model, x, y, norm=NORMS[norm], eps=eps, drop=True
        )
        count.append(int(broken(model, x_adv, y).sum()))
        assert int(oracle.ledger.backwards.sum()) == 0
        assert int(oracle.ledger.forwards.max()) <= queries
    assert count[0] < count[1]
    assert Square.info.knowledge is Knowledge.SCORE


def test_a_masked_gradient_is_no_protection():
    inner, x = small_net(seed=1), images(30)
    rough_model = Model(name="masked", net=Lambda(lambda x: inner.net((x * 64).round() / 64)), classes=4)
    y = classify(rough_model, x)
    x_adv, oracle, _ = attacked(Square(queries=150), rough_model, x, y, eps=0.1, drop=True)
    assert int(broken(rough_model, x_adv, y).sum()) > 20
    assert not oracle.ledger.nonfinite.any()


@norms
def test_every_proposal_is_admissible_and_as_long_as_the_radius(norm):
    x = images(8, SHAPE, low=0.4, high=0.6)
    threat = ThreatModel(norm=NORMS[norm], eps=0.3)
    rng = Randomness(0, torch.arange(8))
    flat = norm == "Linf"
    best = stripes(x, threat, rng) if flat else bumps_everywhere(x, threat, rng)
    for seed in range(20):
        assert threat.admits(x, best).all()
        assert torch.allclose(threat.norm.size(best - x), torch.tensor(0.3), rtol=1e-4)
        best = (paint if flat else move_mass)(x, best, 1 + seed % 5, threat, luck(x, seed))


def test_stripes_are_columns_and_paint_changes_one_window():
    x = images(5, SHAPE, low=0.4, high=0.6)
    threat = ThreatModel(eps=0.1)
    start = stripes(x, threat, Randomness(0, torch.arange(5))) - x
    assert torch.allclose(start, start[:, :, :1].expand_as(start), atol=1e-6)
    assert torch.allclose(start.abs(), torch.tensor(0.1), atol=1e-6)
    assert len(torch.unique(start[:, :, 0].sign().flatten(1), dim=0)) > 1
    change = paint(x, x + start, 3, threat, luck(x)) - x
    window = inside(x, corners(x, 3, luck(x)[:, :2]), 3)
    assert torch.equal(change[~window.expand_as(change)], (x + start - x)[~window.expand_as(change)])
    patch = cut(change, corners(x, 3, luck(x)[:, :2]), 3)
    assert torch.allclose(patch, patch[:, :, :1, :1].expand_as(patch), atol=1e-6)


def test_windows_by_hand():
    x = torch.arange(24.0).view(1, 2, 3, 4)
    corner = torch.tensor([[1, 2]])
    assert torch.equal(cut(x, corner, 2)[0, 0], torch.tensor([[6.0, 7.0], [10.0, 11.0]]))
    assert torch.equal(place(cut(x, corner, 2), x, corner), x * inside(x, corner, 2))
    assert int(inside(x, corner, 2).sum()) == 4


def test_corners_are_uniform_and_reach_every_place():
    x = images(4000, (1, 4, 5))
    places = corners(x, 3, Randomness(0, torch.arange(4000)).uniform(x.new_empty(4000, 2)))
    counts = torch.bincount(places[:, 0] * 3 + places[:, 1], minlength=6)
    assert len(counts) == 6
    assert (counts - 4000 / 6).abs().max() < 120
    assert set(signs(torch.tensor([0.0, 0.4999, 0.5, 0.99])).tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("power", [2, 4])
@pytest.mark.parametrize("side", [1, 3, 5, 6])
def test_bumps_have_two_halves_of_opposite_sign(side, power):
    shape = bump(side, power)
    assert shape.shape == (side, side)
    assert (shape[: side // 2] > 0).all()
    assert (shape[side // 2 :] < 0).all()
    order = 1 if power == 4 else 2
    assert float(shape[side // 2 :].norm(p=order)) == pytest.approx(1)


def test_the_schedule_is_the_published_one():
    share = [area(q, queries=10_000, first=0.8, rescale=True) for q in (0, 10, 11, 51, 201, 501, 1001, 9999)]
    assert share == [0.8, 0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.8 / 512]
    assert area(30, queries=100, first=0.8, rescale=True) == area(
        3000, queries=10_000, first=0.8, rescale=True
    )
    assert area(30, queries=100, first=0.8, rescale=False) == 0.4


@norms
def test_the_ledger_equals_the_analytic_count(norm):
    model, x = small_net(), images(6)
    y = classify(model, x)
    for attack, forwards in ((Square(queries=7), 7), (Square(queries=5, restarts=2), 12)):
        oracle = Oracle(model, x, y, ThreatModel(norm=NORMS[norm], eps=1e-4))
        attack(oracle, Randomness(0, torch.arange(6)))
        assert oracle.ledger.forwards.tolist() == [forwards] * 6


def test_targets_are_reached():
    model = random_linear(classes=4, seed=7, centred=True)
    x = images(20, (1, 4, 4), 0, 0.45, 0.55)
    target = (classify(model, x) + 1) % 4
    threat = ThreatModel(norm=LINF, eps=0.2, goal=Goal.TARGETED)
    for loss in ("margin", "cross_entropy"):
        x_adv, _, _ = attacked(Square(queries=150, loss=loss), model, x, target, threat=threat, drop=True)
        assert (classify(model, x_adv) == target).float().mean() > 0.8


@pytest.mark.parametrize(
    "options", [{"queries": 0}, {"restarts": 0}, {"first_share": 0}, {"first_share": 1.5}, {"loss": "dlr"}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        build(Square, options, where="test.yaml:1")


def test_an_infinite_radius_is_refused():
    for norm in (LINF, L2, L1):
        with pytest.raises(ConfigError, match="finite radius"):
            attacked(Square(), small_net(), images(2), norm=norm, eps=math.inf)
