"""sigma-zero: the exact count on linear models inside the box, and the paper's own code on digits."""

import math

import pytest
import torch

from attacks.minimal.sigma_zero import SigmaZero
from robench.attack.boundary import towards_the_clean_image
from robench.attack.norms import L0
from robench.attack.threat import Goal, ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from tests.attacks.digits import digits_cnn, distance_of
from tests.truths import attacked, broken, classify, images, random_linear, small_net


def least_counts(model, x, y):
    """Fewest values whose change breaks each image of a linear model inside [0, 1]: the steepest first."""
    weight, bias = model.net[1].weight.detach().double(), model.net[1].bias.detach().double()
    flat = x.double().flatten(1)
    scores = flat @ weight.T + bias
    counts = []
    for image, label, own in zip(flat, y.tolist(), scores, strict=True):
        least = math.inf
        for rival in set(range(len(weight))) - {label}:
            slope = weight[rival] - weight[label]
            gains = torch.where(slope > 0, slope * (1 - image), -slope * image).sort(descending=True).values
            places = (gains.cumsum(0) > own[label] - own[rival]).nonzero()
            least = min(least, int(places[0]) + 1 if len(places) else math.inf)
        counts.append(least)
    return torch.tensor(counts, dtype=torch.float64)


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(SigmaZero(steps=8)))


@pytest.mark.thorough
@pytest.mark.parametrize("classes", [2, 4])
def test_it_comes_near_the_exact_count_of_a_linear_model(classes):
    model, x = random_linear(classes=classes, shape=(1, 6, 6), seed=5), images(40, (1, 6, 6))
    y = classify(model, x)
    x_adv, oracle, _ = attacked(SigmaZero(steps=150), model, x, y, norm=L0, eps=math.inf)
    x_adv = towards_the_clean_image(oracle, x_adv)
    least, count = least_counts(model, x, y), L0.size(x_adv.double() - x.double())
    assert broken(model, x_adv, y).all()
    assert (count >= least).all()  # no attack can do with fewer
    assert float((count == least).double().mean()) >= 0.7
    assert (count <= least + 2).all()


def test_passes_are_one_of_each_a_step():
    model, x = small_net(seed=3), images(5)
    attack = SigmaZero(steps=7, restarts=3, removals=0)
    _, oracle, _ = attacked(attack, model, x, classify(model, x), norm=L0, eps=math.inf)
    assert oracle.ledger.backwards.tolist() == [21] * 5
    assert oracle.ledger.forwards.tolist() == [24] * 5


@pytest.mark.thorough
def test_a_target_is_reached():
    model, x = random_linear(classes=4, seed=7), images(20, (1, 4, 4))
    y = classify(model, x)
    target = (y + 1) % 4
    threat = ThreatModel(norm=L0, eps=math.inf, goal=Goal.TARGETED)
    x_adv, _, _ = attacked(SigmaZero(steps=100), model, x, target, threat=threat)
    assert (classify(model, x_adv) == target).all()


@pytest.mark.thorough
def test_a_finite_radius_only_says_what_counts():
    model, x = random_linear(classes=3, seed=6), images(40, (1, 4, 4))
    y = classify(model, x)
    least = least_counts(model, x, y)
    _, oracle, last = attacked(SigmaZero(steps=150), model, x, y, norm=L0, eps=2)
    assert oracle.threat.admits(x, last).all()
    assert not broken(model, oracle.best, y)[least > 2].any()
    assert int(broken(model, oracle.best, y).sum()) >= 0.8 * int((least <= 2).sum()) > 0


def test_counts_are_no_larger_than_those_of_the_authors_code():
    sigma_zero = pytest.importorskip("adv_lib.attacks.sigma_zero").sigma_zero
    model, x, y = digits_cnn()
    x, y = x[:60], y[:60]
    own, oracle, _ = attacked(SigmaZero(steps=200), model, x, y, norm=L0, eps=math.inf)
    own = towards_the_clean_image(oracle, own)
    theirs = sigma_zero(model.net, x, y, num_steps=200)
    ours, others = distance_of(model, own, x, y, L0), distance_of(model, theirs, x, y, L0)
    assert ours.isfinite().all()
    assert float(ours.mean()) <= float(others.mean()) + 0.05


def test_misclassified_images_stay_where_they_are():
    model, x = small_net(seed=1), images(6)
    y = (classify(model, x) + 1) % 4
    x_adv, _, _ = attacked(SigmaZero(steps=20), model, x, y, norm=L0, eps=math.inf)
    assert torch.equal(x_adv, x)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"restarts": 0},
        {"removals": -1},
        {"step_size": 0.0},
        {"sigma": 0.0},
        {"threshold": -1.0},
        {"rate": math.nan},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        SigmaZero(**options)
