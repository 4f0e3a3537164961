"""DDN: the exact distance on linear models, its recurrence, and foolbox on digits."""

import math
from itertools import pairwise

import pytest
import torch

from attacks.minimal.ddn import DDN, anneal
from attacks.minimal.deepfool import DeepFool
from attacks.minimal.fmn import FMN
from robench.attack.norms import L2
from robench.attack.threat import Goal, ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from tests.attacks.digits import digits_cnn, distance_of
from tests.attacks.test_truths import closed_form, grey
from tests.truths import attacked, broken, classify, images, linear, random_linear, small_net


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(DDN(steps=8)))


@pytest.mark.thorough
@pytest.mark.parametrize("classes", [2, 4])
def test_it_finds_the_exact_distance_to_a_hyperplane(classes):
    model, x = random_linear(classes=classes, seed=5), grey(30)
    y = classify(model, x)
    x_adv, oracle, _ = attacked(DDN(steps=120), model, x, y, norm=L2, eps=math.inf)
    ratio = L2.size(x_adv - x).double() / closed_form(model, x, y, L2)
    assert broken(model, x_adv, y).all()
    assert ratio.min() > 1 - 1e-5
    assert ratio.max() < 1.01
    assert oracle.ledger.backwards.tolist() == [120] * 30
    assert oracle.ledger.forwards.tolist() == [121] * 30


@pytest.mark.thorough
@pytest.mark.parametrize(
    "attack", [DDN(steps=100), FMN(steps=60), DeepFool()], ids=["DDN", "FMN", "DeepFool"]
)
@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0.0), (1e-4, 1.0), (1.0, 1e4)])
def test_sizes_are_those_of_a_network_whose_scores_are_other_multiples(attack, scale, offset):
    """Nor does a number count that is added to all scores."""
    generator = torch.Generator().manual_seed(0)
    weight, x = torch.randn(3, 16, generator=generator), grey(12)
    bias = -weight.sum(dim=1) / 2  # the boundaries are near a grey image
    model, small = linear(weight, bias), linear(scale * weight, scale * bias + offset)
    y = classify(model, x)
    sizes = [
        L2.size(attacked(attack, one, x, y, norm=L2, eps=math.inf)[0] - x).double() for one in (model, small)
    ]
    assert broken(model, attacked(attack, model, x, y, norm=L2, eps=math.inf)[0], y).all()
    assert float(sizes[1].sum() / sizes[0].sum()) < 1.1


def test_the_sphere_follows_success():
    """Radii of the points it asks about are r (1 - g)^a (1 + g)^b, step by step as the verdicts say."""
    model, x = random_linear(classes=2, seed=5), grey(1)
    y = classify(model, x)
    queries = []
    model.net.register_forward_hook(
        lambda net, inputs, outputs: queries.append((inputs[0].detach(), outputs))
    )
    attacked(DDN(steps=12, radius=0.3), model, x, y, norm=L2, eps=math.inf)
    assert len(queries) == 13
    radius = 0.3
    for before, after in pairwise(queries):
        wrong = bool(before[1].argmax(dim=1) != y)
        radius *= 0.95 if wrong else 1.05
        assert float(L2.size(after[0] - x)) == pytest.approx(radius, rel=1e-4)


def test_the_cosine_starts_and_ends_where_it_should():
    assert [anneal(1.0, 0.1, d) for d in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.55, 0.1])


@pytest.mark.thorough
def test_a_target_is_reached():
    model, x = random_linear(classes=4, seed=7), grey(20)
    y = classify(model, x)
    target = (y + 1) % 4
    threat = ThreatModel(norm=L2, eps=math.inf, goal=Goal.TARGETED)
    x_adv, _, _ = attacked(DDN(steps=100), model, x, target, threat=threat)
    assert (classify(model, x_adv) == target).all()
    bound = closed_form(model, x, y, L2, target)
    assert (L2.size(x_adv - x).double() >= bound * (1 - 1e-5)).all()


@pytest.mark.thorough
def test_a_finite_radius_only_says_what_counts():
    model, x = random_linear(classes=2, seed=6), grey(40)
    y = classify(model, x)
    distance = closed_form(model, x, y, L2)
    eps = float(distance.median())
    _, oracle, last = attacked(DDN(steps=150), model, x, y, norm=L2, eps=eps)
    assert oracle.threat.admits(x, last).all()
    sure = (distance - eps).abs() > 0.01 * eps
    assert torch.equal(broken(model, oracle.best, y)[sure], (distance < eps)[sure])


def test_every_point_it_counts_as_broken_is_broken_for_another_kernel_too():
    """A smallest point within rounding of the boundary would be robust again to the judge."""
    model, x = small_net(seed=1), images(60)
    y = classify(model, x)
    x_adv, oracle, _ = attacked(DDN(steps=60), model, x, y, norm=L2, eps=math.inf)
    assert oracle.broken.all()
    alone = torch.cat([classify(model, image[None]) for image in x_adv])
    assert (alone != y).all()


def test_distances_agree_with_foolbox():
    """Within 2 % of 40 digits' median: the same algorithm, but for the order of gradient and radius."""
    foolbox = pytest.importorskip("foolbox")
    model, x, y = digits_cnn()
    x, y = x[:40], y[:40]
    own, _, _ = attacked(DDN(steps=60), model, x, y, norm=L2, eps=math.inf)
    their_model = foolbox.PyTorchModel(model.net, bounds=(0, 1))
    _, library, _ = foolbox.attacks.DDNAttack(steps=60)(their_model, x, y, epsilons=None)
    ours, theirs = distance_of(model, own, x, y, L2), distance_of(model, library, x, y, L2)
    assert ours.isfinite().all()
    assert float(ours.median() / theirs.median()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"gamma": 0.0}, {"gamma": 1.0}, {"radius": 0.0}, {"step_size": math.inf}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        DDN(**options)
