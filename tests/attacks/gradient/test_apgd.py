"""APGD and targeted APGD: closed forms, brute force, laws, and the step size rule by hand."""

import math

import pytest
import torch

from attacks.gradient.apgd import APGD, APGDTargeted
from attacks.gradient.apgd_loop import Climb, _sparse, checkpoints, climb
from attacks.gradient.pgd import PGD
from attacks.shared.tries import likeliest
from robench.attack.losses import cross_entropy, margin
from robench.attack.norms import L1, LINF, NORMS
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.model.interface import Model, OutputKind
from robench.randomness import Randomness
from robench.recipe import build
from tests.attacks.toys import EPS, LAWS, distances, two_pixels
from tests.truths import (
    Lambda,
    attacked,
    broken,
    classify,
    images,
    joint,
    linear,
    random_linear,
    small_net,
    two_sources,
    with_head,
)

SHAPE = (1, 4, 4)
norms = pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
QUICK = {
    "apgd": APGD(steps=6, restarts=2),
    "apgd-dlr": APGD(steps=8, loss="dlr"),
    "apgd-t": APGDTargeted(steps=5, classes=2),
}
PLAY = [("apgd", "Linf"), ("apgd", "L2"), ("apgd", "L1"), ("apgd-dlr", "Linf"), ("apgd-t", "Linf")]


@pytest.mark.parametrize(("name", "norm"), PLAY)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(law, name, norm):
    law(QUICK[name], norm)


@pytest.mark.thorough
@norms
@pytest.mark.parametrize(
    "attack", [APGD(steps=40, loss="margin"), APGDTargeted(steps=40)], ids=["margin", "targeted"]
)
def test_several_classes_break_where_geometry_says(attack, norm):
    model = random_linear(classes=4, seed=3, centred=True)
    x = images(40, SHAPE, 1, 0.45, 0.55)
    y = classify(model, x)
    distance = distances(model, x, y, norm)
    eps = float(distance.median())
    x_adv, oracle, _ = attacked(attack, model, x, y, norm=NORMS[norm], eps=eps, drop=True)
    breaks = broken(model, x_adv, y)
    assert oracle.threat.admits(x, x_adv).all()
    assert not breaks[distance > 1.0001 * eps].any()  # no attack can
    if isinstance(attack, APGDTargeted):
        assert breaks[distance < 0.995 * eps].all()  # it tries every wrong class
    else:  # the margin may climb towards a class that is not the nearest
        assert breaks[distance < 0.995 * eps].float().mean() > 0.75


@norms
def test_it_breaks_what_brute_force_breaks_and_nothing_else(norm):
    model, x, y, truth = two_pixels(norm, 0.12)
    assert 10 < int(truth.sum()) < 50
    x_adv, _, _ = attacked(APGD(steps=40, restarts=2, loss="dlr"), model, x, y, norm=NORMS[norm], eps=0.12)
    assert int((truth != broken(model, x_adv, y)).sum()) <= 1  # the grid may miss a sliver


def test_l1_uses_the_box_that_projecting_and_clipping_would_waste():
    """Three of four pixels are at their ceiling: the whole radius must go to the fourth."""
    model = linear(torch.tensor([[-1.0, -1.0, -1.0, -0.5], [1.0, 1.0, 1.0, 0.5]]), torch.tensor([3.4, -3.4]))
    x = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)  # crosses at x_4 = 0.8
    y = classify(model, x)
    for eps in (0.79, 0.81):
        x_adv, oracle, _ = attacked(APGD(steps=50), model, x, y, norm=L1, eps=eps)
        assert bool(broken(model, x_adv, y)) == (eps > 0.8)
        assert oracle.threat.admits(x, x_adv).all()


@norms
def test_it_is_no_weaker_than_pgd_at_the_same_price(norm):
    model, x = small_net(seed=1), images(80, seed=5)
    y = classify(model, x)
    options = {"norm": NORMS[norm], "eps": EPS[norm]}
    pgd, _, _ = attacked(PGD(steps=30), model, x, y, **options)
    apgd, _, _ = attacked(APGD(steps=30), model, x, y, **options)
    assert int(broken(model, apgd, y).sum()) >= int(broken(model, pgd, y).sum())


def test_checkpoints_are_the_published_ones():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1) == []
    assert checkpoints(10) == [3, 5, 6, 7, 8, 9]
    for steps in (2, 7, 33, 1000):
        places = checkpoints(steps)
        assert places == sorted(set(places))
        assert all(0 < step < steps for step in places)


def test_a_step_that_overshoots_is_halved_until_the_peak_is_met():
    """One pixel, loss -|x - 0.537|: a fixed step of 2 eps never comes near, halving does."""

    class Peak(torch.nn.Module):
        def forward(self, x):
            height = -(x.flatten(1) - 0.537).abs()
            return torch.cat([-height, height], dim=1) * 5

    model = Model(name="peak", net=Peak(), classes=2)
    x = torch.full((1, 1, 1, 1), 0.5)
    threat = ThreatModel(eps=0.3)
    oracle = Oracle(model, x, torch.tensor([0]), threat)
    end = climb(oracle, x - 0.3, margin, Climb(steps=60))
    assert float(end) == pytest.approx(0.537, abs=0.01)


def test_images_choose_their_steps_alone_and_joint_batches_together():
    """The best of a batch of two is the best of each alone, unless the batch is one graph."""
    single, x = small_net(seed=1), images(6)
    y = classify(single, x)
    threat = ThreatModel(eps=0.003)
    how = Climb(steps=12)
    start = threat.sample(x, Randomness(0, torch.arange(6)))
    whole = climb(Oracle(single, x, y, threat), start, cross_entropy, how)
    for i in range(6):
        oracle = Oracle(single, x[i : i + 1], y[i : i + 1], threat)
        alone = climb(oracle, start[i : i + 1], cross_entropy, how)
        assert torch.allclose(alone, whole[i : i + 1], atol=1e-6)
    pair_model = joint(single)
    oracle = Oracle(pair_model, x, y, threat)
    queries = []
    hook = pair_model.net.register_forward_pre_hook(
        lambda _, inputs: queries.append(inputs[0].detach().clone())
    )
    best = climb(oracle, start, cross_entropy, how)
    hook.remove()
    assert any(torch.equal(best, point) for point in queries)  # one whole batch, not a mixture


def test_sparse_steps_change_the_steepest_pixels_alike():
    gradient = torch.tensor([[5.0, -4.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2)
    step = _sparse(gradient, torch.tensor([2.0, 3.0]))
    assert torch.equal(step[0].flatten(), torch.tensor([0.5, -0.5, 0.0, 0.0]))
    assert torch.equal(step[1].flatten(), torch.zeros(4))


def test_the_likeliest_wrong_classes_come_in_order():
    model, x = random_linear(classes=5), images(6, SHAPE)
    scores = model.net(x).detach()
    y = scores.argsort(dim=1)[:, -2]  # the label is the second likeliest
    pairs = likeliest(Oracle(model, x, y, ThreatModel(eps=0.1)), x, 9)
    assert len(pairs) == 4
    order = scores.argsort(dim=1, descending=True)
    for pair, rank in zip(pairs, (0, 2, 3, 4), strict=True):
        assert torch.equal(pair, torch.stack([y, order[:, rank]], dim=1))


@pytest.mark.parametrize(
    ("attack", "norm", "forwards", "backwards"),
    [
        (APGD(steps=7), "Linf", 8, 8),
        (APGD(steps=7, restarts=2), "L2", 18, 16),
        (APGD(steps=10), "L1", 13, 13),
        (APGDTargeted(steps=5), "Linf", 1 + 3 * 6 + 3, 18),
        (APGDTargeted(steps=5, classes=1, restarts=2), "Linf", 1 + 2 * 6 + 2, 12),
    ],
    ids=str,
)
def test_the_ledger_equals_the_analytic_count(attack, norm, forwards, backwards):
    model, x = small_net(), images(6)
    y = classify(model, x)
    oracle = Oracle(model, x, y, ThreatModel(norm=NORMS[norm], eps=1e-4))
    attack(oracle, Randomness(0, torch.arange(6)))
    assert oracle.ledger.forwards.tolist() == [forwards] * 6
    assert oracle.ledger.backwards.tolist() == [backwards] * 6


@pytest.mark.parametrize("attack", [APGD(steps=40), APGDTargeted(steps=40)], ids=["apgd", "apgd-t"])
def test_targets_are_reached(attack):
    model = random_linear(classes=4, seed=7, centred=True)
    x = images(40, SHAPE, 0, 0.45, 0.55)
    target = (classify(model, x) + 1) % 4
    strong, _, _ = attacked(attack, model, x, target, threat=ThreatModel(eps=0.2, goal=Goal.TARGETED))
    assert (classify(model, strong) == target).float().mean() > 0.9
    none, _, _ = attacked(attack, model, x, target, threat=ThreatModel(eps=1e-5, goal=Goal.TARGETED))
    assert (classify(model, none) == target).float().mean() < 0.1


HEADS = {
    "log_softmax": (lambda z: z.log_softmax(1), OutputKind.LOG_PROBABILITIES),
    "softmax": (lambda z: z.double().softmax(1), OutputKind.SIMPLEX),
    "minus 20": (lambda z: z - 20, OutputKind.LOGITS),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", QUICK)
def test_what_the_output_means_changes_no_verdict(name, head):
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    plain, _, _ = attacked(QUICK[name], model, x, y, eps=0.06)
    proposal, _, _ = attacked(QUICK[name], with_head(model, *HEADS[head]), x, y, eps=0.06)
    assert int((broken(model, proposal, y) != broken(model, plain, y)).sum()) <= 1


def test_the_scale_of_the_logits_blinds_cross_entropy_and_not_the_ratio():
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    steep_model = with_head(model, lambda z: 300 * z)
    right = {}
    for loss in ("cross_entropy", "dlr"):
        x_adv, _, _ = attacked(APGD(steps=20, loss=loss), steep_model, x, y, eps=0.06)
        right[loss] = int((~broken(model, x_adv, y)).sum())
    plain, _, _ = attacked(APGD(steps=20, loss="dlr"), model, x, y, eps=0.06)
    assert right["dlr"] == int((~broken(model, plain, y)).sum())
    assert right["dlr"] <= right["cross_entropy"]


def test_a_masked_model_and_one_without_numbers_are_noted():
    inner, x = small_net(), images(10)
    rough_model = Model(name="masked", net=Lambda(lambda x: inner.net((x * 4).round() / 4)), classes=4)
    broken_net = Model(name="nan", net=Lambda(lambda x: inner.net(x) / (x.flatten(1)[:, :1] < 0)), classes=4)
    for attack in QUICK.values():
        _, oracle, _ = attacked(attack, rough_model, x, eps=0.05)
        assert (oracle.ledger.zero_gradient > 0).all()
        x_adv, oracle, _ = attacked(attack, broken_net, x, torch.zeros(10, dtype=torch.int64), eps=0.05)
        assert oracle.ledger.nonfinite.all()
        assert torch.isfinite(x_adv).all()
        assert not oracle.broken.any()


@pytest.mark.parametrize("attack", [APGD(), APGDTargeted()], ids=["apgd", "apgd-t"])
def test_an_infinite_radius_is_refused(attack):
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(attack, small_net(), images(2), norm=LINF, eps=math.inf)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        (APGD, {"steps": 0}),
        (APGD, {"restarts": 0}),
        (APGD, {"loss": "targeted_dlr"}),
        (APGD, {"rho": 1.5}),
        (APGD, {"momentum": -0.1}),
        (APGDTargeted, {"classes": 0}),
        (APGDTargeted, {"rho": math.nan}),
    ],
)
def test_options_that_mean_nothing_are_refused(recipe, options):
    with pytest.raises(ConfigError):
        build(recipe, options, where="test.yaml:1")


def test_what_is_broken_stands_still_and_other_images_of_a_joint_batch_climb_on():
    """An image is broken from the start: holding keeps it bit for bit, and the others move."""
    model, x = joint(small_net(seed=1)), images(6)
    y = classify(model, x)
    y[2] = (y[2] + 1) % 4
    threat = ThreatModel(eps=0.05)
    free = climb(Oracle(model, x, y, threat), x, margin, Climb(steps=12))
    oracle = Oracle(model, x, y, threat)
    points = climb(oracle, x, margin, Climb(steps=12, hold=True, first=0.05))
    assert not torch.equal(free[2], x[2])
    assert torch.equal(points[2], x[2])
    assert (points != x).flatten(1).any(1).tolist() == [True, True, False, True, True, True]
    assert int(broken(model, points, y).sum()) >= int(broken(model, free, y).sum())


def test_it_climbs_through_the_source_it_is_given_by_steps_as_long_as_it_is_told():
    model = two_sources(small_net(seed=1))
    x = images(4)
    y = classify(model, x)
    threat = ThreatModel(eps=0.1)
    ends = {}
    for name, source in model.sources.items():
        oracle = Oracle(model, x, y, threat)
        ends[name] = climb(oracle, x, margin, Climb(steps=1, first=0.01), source=source)
    values = {name: margin(model.net(end), y, model.output) for name, end in ends.items()}
    assert (values["exact"] > margin(model.net(x), y, model.output)).all()
    assert (values["turned"] < margin(model.net(x), y, model.output)).all()
    for end in ends.values():
        assert float((end - x).abs().max()) == pytest.approx(0.01, abs=1e-6)
