"""FAB and targeted FAB: the distance to the boundary in closed form, brute force, and laws."""

import math

import pytest
import torch

from attacks.minimal.fab import FAB, FABTargeted
from robench.attack.norms import NORMS
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.model.interface import Model, OutputKind
from robench.randomness import Randomness
from robench.recipe import build
from tests.attacks.toys import LAWS, distances, two_pixels
from tests.truths import (
    Lambda,
    attacked,
    broken,
    classify,
    images,
    linear,
    random_linear,
    small_net,
    with_head,
)

SHAPE = (1, 4, 4)
norms = pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
both = pytest.mark.parametrize("recipe", [FAB, FABTargeted], ids=["fab", "fab-t"])


@pytest.mark.thorough
@pytest.mark.parametrize(("recipe", "norm"), [(FAB, "Linf"), (FAB, "L2"), (FAB, "L1"), (FABTargeted, "Linf")])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(law, recipe, norm):
    law(recipe(steps=4, restarts=2), norm)


@norms
@both
def test_it_finds_the_distance_to_the_nearest_class(recipe, norm):
    model = random_linear(classes=4, seed=3, centred=True)
    x = images(30, SHAPE, 1, 0.45, 0.55)
    y = classify(model, x)
    distance = distances(model, x, y, norm)
    threat = ThreatModel(norm=NORMS[norm], eps=math.inf)
    x_adv, oracle, _ = attacked(recipe(steps=30), model, x, y, threat=threat)
    size = threat.norm.size((x_adv - x).double())
    assert oracle.broken.all()
    # It overshoots by a twentieth, and goes a tenth of the way back: 1.005 is where that ends.
    assert (size >= distance * (1 - 1e-5)).all()
    assert (size <= distance * 1.007).all()


@norms
def test_the_box_is_counted(norm):
    """One pixel is at its ceiling: only the other can help, so the distance is 0.2 in every norm."""
    model = linear(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), torch.tensor([1.2, -1.2]))
    x = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)  # crosses at x_1 + x_2 = 1.2
    y = classify(model, x)
    for recipe in (FAB, FABTargeted):
        x_adv, _, _ = attacked(recipe(steps=20), model, x, y, norm=NORMS[norm], eps=0.9)
        assert bool(broken(model, x_adv, y))
        assert float(NORMS[norm].size(x_adv - x)) == pytest.approx(0.2, rel=0.01)


@pytest.mark.thorough
@norms
@both
def test_it_breaks_what_brute_force_breaks_and_nothing_else(recipe, norm):
    model, x, y, truth = two_pixels(norm, 0.12)
    x_adv, oracle, _ = attacked(recipe(steps=20, restarts=2), model, x, y, norm=NORMS[norm], eps=0.12)
    breaks = broken(model, x_adv, y, x, oracle.threat)
    assert int((truth & ~breaks).sum()) <= 2
    assert int((breaks & ~truth).sum()) <= 1  # the grid may miss a sliver


@both
def test_targets_are_reached_at_a_distance_near_the_bound(recipe):
    model = random_linear(classes=4, seed=7, centred=True)
    x = images(30, SHAPE, 0, 0.45, 0.55)
    y = classify(model, x)
    target = (y + 1) % 4
    threat = ThreatModel(norm=NORMS["L2"], eps=math.inf, goal=Goal.TARGETED)
    x_adv, _, _ = attacked(recipe(steps=60), model, x, target, threat=threat)
    hit = classify(model, x_adv) == target
    assert hit.float().mean() > 0.6  # several boundaries at once are not what it was made for
    size = threat.norm.size((x_adv - x).double())
    assert (size >= distances(model, x, y, "L2") * (1 - 1e-5))[hit].all()


@pytest.mark.thorough
@both
@pytest.mark.parametrize("kind", [OutputKind.LOG_PROBABILITIES, OutputKind.SIMPLEX])
def test_what_the_output_means_changes_no_verdict(recipe, kind):
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    head = (lambda z: z.log_softmax(1)) if kind is OutputKind.LOG_PROBABILITIES else (lambda z: z.softmax(1))
    plain, _, _ = attacked(recipe(steps=15), model, x, y, eps=0.06)
    proposal, _, _ = attacked(recipe(steps=15), with_head(model, head, kind), x, y, eps=0.06)
    assert int((broken(model, proposal, y) != broken(model, plain, y)).sum()) <= 1


def test_score_gradients_are_those_of_each_score():
    model, x = small_net(seed=1), images(7)
    y = classify(model, x)
    twin = with_head(model, lambda z: z.softmax(1), OutputKind.SIMPLEX)
    for subject, reference in ((model, model.net), (twin, lambda x: model.net(x).log_softmax(1))):
        oracle = Oracle(subject, x, y, ThreatModel(eps=0.1), batch_size=3)
        scores, gradients = oracle.score_gradients(x)
        point = x.clone().requires_grad_(True)
        truth = reference(point)
        assert torch.allclose(scores, truth, atol=1e-5)
        for c in range(4):
            (column,) = torch.autograd.grad(truth[:, c].sum(), point, retain_graph=True)
            assert torch.allclose(gradients[:, c], column, atol=1e-5)
        assert oracle.ledger.forwards.tolist() == [1] * 7
        assert oracle.ledger.backwards.tolist() == [4] * 7


def test_score_gradients_obey_the_budget_and_drop_what_is_no_number():
    model, x = small_net(seed=1), images(5)
    oracle = Oracle(model, x, classify(model, x), ThreatModel(eps=0.1, budget=4))
    scores, gradients = oracle.score_gradients(x)
    assert scores.isnan().all()
    assert not gradients.any()
    assert int(oracle.ledger.forwards.sum() + oracle.ledger.backwards.sum()) == 0
    root = Model(name="root", net=Lambda(lambda x: (x + (x - x).sqrt()).flatten(1)[:, :4]), classes=4)
    oracle = Oracle(root, x, classify(root, x), ThreatModel(eps=0.1))
    _, gradients = oracle.score_gradients(x)
    assert torch.isfinite(gradients).all()
    assert oracle.ledger.nonfinite.any()


@pytest.mark.parametrize(
    ("attack", "forwards", "backwards"),
    [
        (FAB(steps=7), 14, 28),
        (FAB(steps=3, restarts=2), 12, 24),
        (FABTargeted(steps=5), 1 + 3 * 10, 15),
        (FABTargeted(steps=5, classes=2, restarts=2), 1 + 4 * 10, 20),
    ],
    ids=str,
)
def test_the_ledger_equals_the_analytic_count(attack, forwards, backwards):
    model, x = small_net(), images(6)
    y = classify(model, x)
    oracle = Oracle(model, x, y, ThreatModel(eps=1e-4), minimise=True)
    attack(oracle, Randomness(0, torch.arange(6)))
    assert oracle.ledger.forwards.tolist() == [forwards] * 6
    assert oracle.ledger.backwards.tolist() == [backwards] * 6


@pytest.mark.thorough
def test_a_masked_model_and_one_without_numbers_are_noted():
    inner, x = small_net(), images(10)
    rough_model = Model(name="masked", net=Lambda(lambda x: inner.net((x * 4).round() / 4)), classes=4)
    broken_net = Model(name="nan", net=Lambda(lambda x: inner.net(x) / (x.flatten(1)[:, :1] < 0)), classes=4)
    for attack in (FAB(steps=3, restarts=2), FABTargeted(steps=3, restarts=2)):
        for eps in (0.05, math.inf):
            _, oracle, _ = attacked(attack, rough_model, x, eps=eps)
            assert (oracle.ledger.zero_gradient > 0).all()
            y = torch.zeros(10, dtype=torch.int64)
            x_adv, oracle, _ = attacked(attack, broken_net, x, y, eps=eps)
            assert oracle.ledger.nonfinite.all()
            assert torch.isfinite(x_adv).all()
            assert not oracle.broken.any()


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        (FAB, {"steps": 0}),
        (FAB, {"restarts": 0}),
        (FAB, {"eta": 0.9}),
        (FAB, {"alpha_max": 1.1}),
        (FABTargeted, {"beta": -0.1}),
        (FABTargeted, {"classes": 0}),
    ],
)
def test_options_that_mean_nothing_are_refused(recipe, options):
    with pytest.raises(ConfigError):
        build(recipe, options, where="test.yaml:1")
