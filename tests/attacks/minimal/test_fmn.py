"""FMN: the exact distance on linear models, the box, and foolbox on digits."""

import math

import pytest
import torch

from attacks.minimal.ddn import DDN
from attacks.minimal.fmn import FMN
from robench.attack.norms import L2, LINF
from robench.attack.threat import Goal, ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from tests.attacks.digits import digits_cnn, distance_of
from tests.attacks.test_truths import closed_form, grey
from tests.truths import attacked, broken, classify, images, linear, random_linear, small_net

norms = pytest.mark.parametrize("norm", [LINF, L2], ids=lambda n: n.name)


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(FMN(steps=8)))


@norms
@pytest.mark.parametrize("classes", [2, 4])
def test_it_finds_the_exact_distance_to_a_hyperplane(norm, classes):
    model, x = random_linear(classes=classes, seed=5, centred=classes == 2), grey(30)
    y = classify(model, x)
    x_adv, oracle, _ = attacked(FMN(steps=80), model, x, y, norm=norm, eps=math.inf)
    distance = closed_form(model, x, y, norm)
    ratio = norm.size(x_adv - x).double() / distance
    assert broken(model, x_adv, y).all()
    assert ratio.min() > 1 - 1e-4
    assert ratio.max() < 1.01
    assert oracle.ledger.backwards.tolist() == [80] * 30
    assert oracle.ledger.forwards.tolist() == [81] * 30


@norms
def test_the_distance_inside_a_box(norm):
    """One pixel is at its ceiling, and the ball must not be spent on it."""
    model = linear(torch.tensor([[-3.0, -1.0], [3.0, 1.0]]), torch.tensor([3.2, -3.2]))
    x = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)  # crosses at 3 x_1 + x_2 = 3.2
    x_adv, oracle, _ = attacked(FMN(steps=80), model, x, norm=norm, eps=math.inf)
    assert oracle.broken.all()
    assert x_adv.flatten().tolist() == pytest.approx([1.0, 0.2], abs=2e-3)


@norms
def test_a_target_is_reached(norm):
    model, x = random_linear(classes=4, seed=7), grey(20)
    y = classify(model, x)
    target = (y + 1) % 4
    threat = ThreatModel(norm=norm, eps=math.inf, goal=Goal.TARGETED)
    x_adv, _, _ = attacked(FMN(steps=100), model, x, target, threat=threat)
    assert (classify(model, x_adv) == target).all()
    bound = closed_form(model, x, y, norm, target)
    assert (norm.size(x_adv - x).double() >= bound * (1 - 1e-4)).all()


def test_a_finite_radius_only_says_what_counts():
    model, x = random_linear(classes=2, seed=6), grey(40)
    y = classify(model, x)
    distance = closed_form(model, x, y, LINF)
    eps = float(distance.median())
    _, oracle, last = attacked(FMN(steps=80), model, x, y, norm=LINF, eps=eps)
    assert oracle.threat.admits(x, last).all()
    sure = (distance - eps).abs() > 0.01 * eps
    assert torch.equal(broken(model, oracle.best, y)[sure], (distance < eps)[sure])


@pytest.mark.thorough
def test_black_and_white_digits_are_all_broken_as_near_as_by_ddn():
    model, x, y = digits_cnn()
    x, y = x[:40], y[:40]
    own, _, _ = attacked(FMN(steps=60), model, x, y, norm=L2, eps=math.inf)
    other, _, _ = attacked(DDN(steps=60), model, x, y, norm=L2, eps=math.inf)
    ours, theirs = distance_of(model, own, x, y, L2), distance_of(model, other, x, y, L2)
    assert ours.isfinite().all()
    assert float((ours / theirs).median()) == pytest.approx(1, abs=0.02)


@norms
def test_distances_are_no_longer_than_foolbox_finds(norm):
    """Within 2 % under Linf. Under L2 foolbox spends its ball on pixels at the box's end, and needs more."""
    foolbox = pytest.importorskip("foolbox")
    model, x, y = digits_cnn()
    x, y = x[:40], y[:40]
    own, _, _ = attacked(FMN(steps=60), model, x, y, norm=norm, eps=math.inf)
    attack = foolbox.attacks.LInfFMNAttack if norm is LINF else foolbox.attacks.L2FMNAttack
    their_model = foolbox.PyTorchModel(model.net, bounds=(0, 1))
    _, library, _ = attack(steps=60)(their_model, x, y, epsilons=None)
    ours, theirs = distance_of(model, own, x, y, norm), distance_of(model, library, x, y, norm)
    ratio = float(ours.median() / theirs.median())
    assert ratio == pytest.approx(1, abs=0.02) if norm is LINF else ratio < 1.02


def test_misclassified_images_stay_where_they_are():
    model, x = small_net(seed=1), images(6)
    y = (classify(model, x) + 1) % 4
    x_adv, _, _ = attacked(FMN(steps=20), model, x, y, norm=L2, eps=math.inf)
    assert torch.equal(x_adv, x)


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"gamma": 0.0}, {"gamma": 1.5}, {"last_gamma": 0.0}, {"last_step_size": -1.0}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        FMN(**options)
