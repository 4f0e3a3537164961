"""PDPGD: the exact distances on linear models inside the box, and the library's code on digits."""

import math

import pytest
import torch

from attacks.minimal.pdpgd import PDPGD
from robench.attack.boundary import towards_the_clean_image
from robench.attack.norms import L1, L2, LINF
from robench.attack.threat import Goal, ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from tests.attacks.digits import digits_cnn, distance_of
from tests.truths import attacked, broken, classify, images, random_linear, small_net


def least_sizes(model, x, y):
    """Least L1 size that breaks each image of a linear model inside [0, 1]: the steepest values first."""
    weight, bias = model.net[1].weight.detach().double(), model.net[1].bias.detach().double()
    flat = x.double().flatten(1)
    scores = flat @ weight.T + bias
    sizes = []
    for image, label, own in zip(flat, y.tolist(), scores, strict=True):
        least = math.inf
        for rival in set(range(len(weight))) - {label}:
            slope, left, size = weight[rival] - weight[label], float(own[label] - own[rival]), 0.0
            room = torch.where(slope > 0, 1 - image, image)
            for place in slope.abs().argsort(descending=True).tolist():
                gain = float(slope[place].abs() * room[place])
                if gain >= left:
                    least = min(least, size + left / float(slope[place].abs()))
                    break
                left, size = left - gain, size + float(room[place])
        sizes.append(least)
    return torch.tensor(sizes, dtype=torch.float64)


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(PDPGD(steps=8)))


@pytest.mark.thorough
@pytest.mark.parametrize("classes", [2, 4])
def test_it_comes_near_the_exact_distance_of_a_linear_model(classes):
    model, x = random_linear(classes=classes, shape=(1, 6, 6), seed=5), images(40, (1, 6, 6))
    y = classify(model, x)
    x_adv, oracle, _ = attacked(PDPGD(steps=150), model, x, y, norm=L1, eps=math.inf)
    x_adv = towards_the_clean_image(oracle, x_adv)
    ratio = L1.size(x_adv.double() - x.double()) / least_sizes(model, x, y)
    assert broken(model, x_adv, y).all()
    assert ratio.min() > 1 - 1e-4  # no attack can do with less
    assert float(ratio.median()) < 1.02
    assert ratio.max() < 1.2


@pytest.mark.thorough
@pytest.mark.parametrize(("norm", "dual"), [(L2, 2), (LINF, 1)])
def test_it_comes_near_the_exact_distance_inside_a_wide_box(norm, dual):
    model, x = random_linear(classes=2, shape=(1, 6, 6), seed=5), images(20, (1, 6, 6)) * 0.2 + 0.4
    y = classify(model, x)
    x_adv, oracle, _ = attacked(PDPGD(steps=150), model, x, y, norm=norm, eps=math.inf)
    x_adv = towards_the_clean_image(oracle, x_adv)
    weight, bias = model.net[1].weight.detach().double(), model.net[1].bias.detach().double()
    slope = weight[1] - weight[0]
    least = (x.double().flatten(1) @ slope + bias[1] - bias[0]).abs() / slope.norm(p=dual)
    ratio = norm.size(x_adv.double() - x.double()) / least
    assert broken(model, x_adv, y).all()
    assert ratio.min() > 1 - 1e-4  # no attack can do with less
    assert float(ratio.median()) < 1.02


@pytest.mark.thorough
def test_distances_of_other_norms_are_about_those_of_fab_or_shorter():
    from attacks.minimal.fab import FAB

    model, x, y = digits_cnn()
    x, y = x[:40], y[:40]
    for norm in (L2, LINF):
        ours, others = (
            distance_of(
                model,
                towards_the_clean_image(*attacked(attack, model, x, y, norm=norm, eps=math.inf)[1::-1]),
                x,
                y,
                norm,
            )
            for attack in (PDPGD(steps=150), FAB())
        )
        assert float(ours.mean()) <= 1.03 * float(others.mean())


def test_passes_are_one_of_each_a_step():
    model, x = small_net(seed=3), images(5)
    _, oracle, _ = attacked(PDPGD(steps=7, restarts=2), model, x, classify(model, x), norm=L1, eps=math.inf)
    assert oracle.ledger.backwards.tolist() == [14] * 5
    assert oracle.ledger.forwards.tolist() == [16] * 5


def test_an_image_that_nothing_breaks_gets_all_tries_and_one_that_is_broken_no_more_passes():
    model, x = random_linear(classes=2, shape=(1, 4, 4), seed=5), images(6, (1, 4, 4)) * 0.2 + 0.4
    y = classify(model, x)
    attack = PDPGD(steps=7)
    _, oracle, _ = attacked(attack, model, x, y, norm=LINF, eps=math.inf)
    assert oracle.ledger.backwards.tolist() == [42] * 6
    model.net[1].bias.data = 1e3 * torch.eye(2)[0]  # no change of pixels reaches the other class
    _, oracle, _ = attacked(attack, model, x, torch.zeros_like(y), norm=LINF, eps=math.inf)
    assert oracle.ledger.backwards.tolist() == [42] * 6
    assert not oracle.broken.any()


@pytest.mark.thorough
def test_a_target_is_reached():
    model, x = random_linear(classes=4, seed=7), images(20, (1, 4, 4))
    y = classify(model, x)
    target = (y + 1) % 4
    threat = ThreatModel(norm=L1, eps=math.inf, goal=Goal.TARGETED)
    x_adv, _, _ = attacked(PDPGD(steps=100), model, x, target, threat=threat)
    assert (classify(model, x_adv) == target).all()


@pytest.mark.thorough
def test_a_finite_radius_only_says_what_counts():
    model, x = random_linear(classes=3, seed=6), images(40, (1, 4, 4))
    y = classify(model, x)
    least = least_sizes(model, x, y)
    eps = float(least.median())
    _, oracle, last = attacked(PDPGD(steps=150), model, x, y, norm=L1, eps=eps)
    assert oracle.threat.admits(x, last).all()
    assert not broken(model, oracle.best, y)[least > eps * 1.001].any()
    assert broken(model, oracle.best, y)[least < 0.9 * eps].all()


def test_distances_are_no_longer_than_those_of_adv_lib():
    pdpgd = pytest.importorskip("adv_lib.attacks.primal_dual_gradient_descent").pdpgd
    model, x, y = digits_cnn()
    x, y = x[:60], y[:60]
    own, oracle, _ = attacked(PDPGD(steps=150), model, x, y, norm=L1, eps=math.inf)
    own = towards_the_clean_image(oracle, own)
    theirs = pdpgd(model.net, x, y, norm=1, num_steps=300)
    ours, others = distance_of(model, own, x, y, L1), distance_of(model, theirs, x, y, L1)
    assert ours.isfinite().all()
    assert float(ours.mean()) <= 1.01 * float(others.mean())


def test_misclassified_images_stay_where_they_are():
    model, x = small_net(seed=1), images(6)
    y = (classify(model, x) + 1) % 4
    x_adv, _, _ = attacked(PDPGD(steps=20), model, x, y, norm=L1, eps=math.inf)
    assert torch.equal(x_adv, x)


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"restarts": 0}, {"step_size": 0.0}, {"price_step": -1.0}, {"ratio": math.nan}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        PDPGD(**options)
