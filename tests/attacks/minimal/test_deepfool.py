"""DeepFool: exact in one step on linear models, and as good as the libraries' on digits."""

import math

import pytest
import torch

from attacks.minimal.deepfool import DeepFool, free_part, nearest_boundary
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from robench.model.interface import OutputKind
from tests.attacks.digits import digits_cnn, distance_of
from tests.attacks.test_truths import closed_form, grey
from tests.truths import (
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

norms = pytest.mark.parametrize("norm", [LINF, L2], ids=lambda n: n.name)


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(DeepFool(steps=4, rivals=2)))


@norms
@pytest.mark.parametrize("classes", [2, 5])
def test_one_step_is_exact_on_a_linear_model(norm, classes):
    model, x = random_linear(classes=classes, seed=5, centred=True), grey(40)
    y = classify(model, x)
    attack = DeepFool(steps=1, overshoot=0.02)
    x_adv, oracle, _ = attacked(attack, model, x, y, norm=norm, eps=math.inf)
    assert broken(model, x_adv, y).all()
    ratio = norm.size(x_adv - x).double() / closed_form(model, x, y, norm)
    assert torch.allclose(ratio, torch.full_like(ratio, 1.02), atol=1e-3)
    assert oracle.ledger.backwards.tolist() == [classes - 1] * 40
    assert oracle.ledger.forwards.tolist() == [classes] * 40


@norms
def test_few_rivals_are_the_best_scores_and_not_the_nearest(norm):
    """The second-best class is far away, for its score hardly falls; the third-best is near."""
    model = linear(torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 4.0]]), torch.tensor([1.0, 0.75, -1.5]))
    x = torch.full((1, 1, 1, 2), 0.5)
    y = torch.zeros(1, dtype=torch.int64)
    sizes = []
    for rivals in (1, 2):
        oracle = Oracle(model, x, y, ThreatModel(norm=norm, eps=math.inf))
        sizes.append(float(norm.size(nearest_boundary(oracle, x, norm=norm, rivals=rivals))))
    assert sizes == pytest.approx([2.0, 0.125], rel=1e-4)


def test_a_finite_radius_only_says_what_counts():
    model, x = random_linear(classes=3, seed=6), grey(40)
    y = classify(model, x)
    distance = closed_form(model, x, y, L2)
    eps = float(distance.median())
    x_adv, oracle, last = attacked(DeepFool(), model, x, y, norm=L2, eps=eps)
    assert oracle.threat.admits(x, last).all()
    # The last point, on the far side or projected onto the ball, is as good as the geometry allows.
    sure = (distance - eps).abs() > 1e-3 * eps
    assert torch.equal(broken(model, x_adv, y)[sure], (distance < eps)[sure])
    assert torch.equal(oracle.broken, 1.02 * distance <= eps)


@norms
def test_pixels_at_the_box_do_not_stop_it(norm):
    """One pixel is at its ceiling: as published, each step covers a share of what is left, for ever."""
    model = linear(torch.tensor([[-3.0, -1.0], [3.0, 1.0]]), torch.tensor([3.2, -3.2]))
    x = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)  # crosses at 3 x_1 + x_2 = 3.2
    x_adv, oracle, _ = attacked(DeepFool(steps=2), model, x, norm=norm, eps=math.inf)
    assert oracle.broken.all()
    assert x_adv.flatten().tolist() == pytest.approx([1.0, 0.204], abs=1e-4)


def test_the_free_part_of_a_gradient():
    x = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.5]).view(1, 1, 1, 5)
    gradient = torch.tensor([-1.0, 2.0, -3.0, 4.0, -5.0]).view(1, 1, 1, 5)
    assert free_part(gradient, x, (0.0, 1.0)).flatten().tolist() == [0, 2, -3, 0, -5]


def test_a_target_is_reached():
    model, x = random_linear(classes=4, seed=7), grey(30)
    y = classify(model, x)
    target = (y + 1) % 4
    threat = ThreatModel(norm=L2, eps=math.inf, goal=Goal.TARGETED)
    x_adv, _, _ = attacked(DeepFool(), model, x, target, threat=threat)
    assert (classify(model, x_adv) == target).all()
    bound = closed_form(model, x, y, L2, target)
    assert (L2.size(x_adv - x).double() >= bound).all()
    assert float((L2.size(x_adv - x).double() / bound).median()) < 1.5


def test_images_that_rest_cost_nothing():
    model, x = small_net(seed=1), images(30)
    y = classify(model, x)
    y[:5] = (y[:5] + 1) % 4
    _, oracle, _ = attacked(DeepFool(), model, x, y, norm=L2, eps=math.inf)
    assert oracle.ledger.backwards[:5].tolist() == [1] * 5  # the first look tells that they are done
    assert len(oracle.ledger.backwards[5:].unique()) > 1


def test_the_model_itself_must_be_fooled_not_its_surrogate():
    model, x = two_sources(small_net(seed=1)), images(10)
    y = classify(model, x)
    _, oracle, _ = attacked(
        DeepFool(steps=3), model, x, y, norm=L2, eps=math.inf, source=model.source("turned")
    )
    # The turned surrogate is fooled at the clean image already; the attack goes on all the same.
    assert (oracle.ledger.backwards >= 3).all()


@pytest.mark.parametrize("kind", [OutputKind.SIMPLEX, OutputKind.LOG_PROBABILITIES])
def test_probabilities_are_attacked_through_their_logarithm(kind):
    model, x = small_net(seed=1), images(20)
    y = classify(model, x)
    function = (lambda z: z.softmax(1)) if kind is OutputKind.SIMPLEX else (lambda z: z.log_softmax(1))
    twin = with_head(model, function, kind)
    plain, _, _ = attacked(DeepFool(), model, x, y, norm=L2, eps=math.inf)
    proposal, _, _ = attacked(DeepFool(), twin, x, y, norm=L2, eps=math.inf)
    assert torch.allclose(plain, proposal, atol=1e-4)


def test_a_joint_batch_is_broken_whole():
    model, x = joint(small_net(seed=1)), images(8)
    y = classify(model, x)
    x_adv, _, _ = attacked(DeepFool(), model, x, y, norm=L2, eps=math.inf)
    assert broken(model, x_adv, y).float().mean() > 0.8


@pytest.mark.thorough
def test_median_distance_agrees_with_art():
    """Within 5 % of ART's under L2, on images away from the box, where both mean the same algorithm."""
    model, x, _ = digits_cnn()
    x = x[:8].clamp(0.2, 0.8)
    y = classify(model, x)
    own, _, _ = attacked(DeepFool(), model, x, y, norm=L2, eps=math.inf)
    from art.attacks.evasion import DeepFool as Theirs
    from art.estimators.classification import PyTorchClassifier

    loss = torch.nn.CrossEntropyLoss()
    classifier = PyTorchClassifier(model.net, loss, (1, 8, 8), 10, clip_values=(0, 1), device_type="cpu")
    theirs = Theirs(classifier, max_iter=50, epsilon=0.02, nb_grads=10, verbose=False)
    library = torch.from_numpy(theirs.generate(x.numpy(), y.numpy()))
    ours, art = distance_of(model, own, x, y, L2), distance_of(model, library, x, y, L2)
    assert ours.isfinite().all()
    assert float(ours.median() / art.median()) == pytest.approx(1, abs=0.05)


def test_median_distance_agrees_with_foolbox():
    """Within 10 % under Linf: foolbox treats pixels that the box stops, and the overshoot, otherwise."""
    foolbox = pytest.importorskip("foolbox")
    model, x, y = digits_cnn()
    x, y = x[:40], y[:40]
    own, _, _ = attacked(DeepFool(), model, x, y, norm=LINF, eps=math.inf)
    their_model = foolbox.PyTorchModel(model.net, bounds=(0, 1))
    _, library, _ = foolbox.attacks.LinfDeepFoolAttack()(their_model, x, y, epsilons=None)
    ours, theirs = distance_of(model, own, x, y, LINF), distance_of(model, library, x, y, LINF)
    assert ours.isfinite().all()
    assert float(ours.median() / theirs.median()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("options", [{"steps": 0}, {"rivals": 0}, {"overshoot": -0.1}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        DeepFool(**options)
