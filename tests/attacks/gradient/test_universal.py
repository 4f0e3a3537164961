"""Universal: one perturbation for all, as good as geometry allows on one class, and ART on digits."""

import math

import pytest
import torch

from attacks.gradient.universal import Universal
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from robench.randomness import Randomness
from tests.attacks.digits import digits_cnn
from tests.attacks.test_truths import closed_form, grey
from tests.truths import attacked, broken, classify, images, joint, random_linear, small_net

norms = pytest.mark.parametrize("norm", [LINF, L2], ids=lambda n: n.name)


@pytest.mark.thorough
def test_it_keeps_the_laws():
    results = check_attack(Universal(sweeps=1, steps=1, rivals=1))
    assert not failures(results)
    (batch,) = [result for result in results if result.law == "batch"]
    assert "couples" in batch.evidence  # splitting is declared to matter, not found not to


def test_every_image_gets_the_same_perturbation():
    model, x = random_linear(classes=2, centred=True), grey(20)
    y = classify(model, x)
    eps = 3 * float(closed_form(model, x, y, LINF).max())
    x_adv, oracle, last = attacked(Universal(sweeps=2), model, x, y, eps=eps)
    change = x_adv - x
    assert torch.equal(x_adv, last)
    assert torch.allclose(change, change[:1].expand_as(change), atol=1e-6)
    assert float(LINF.size(change).max()) <= eps * (1 + 1e-5)
    # Some were broken on the way by an earlier perturbation, and are not proposed with that.
    assert (oracle.broken & ~broken(model, x_adv, y)).any()


@pytest.mark.thorough
@norms
def test_images_of_one_class_break_where_geometry_says(norm):
    """One direction is best for all of them, so one perturbation is as good as many."""
    model, x = random_linear(classes=2, centred=True), grey(40)
    y = classify(model, x)
    x, y = x[y == 0][:10], y[y == 0][:10]
    distance = closed_form(model, x, y, norm)
    eps = float(distance.median())
    x_adv, _, _ = attacked(Universal(), model, x, y, norm=norm, eps=eps)
    sure = (distance - eps).abs() > 1e-3 * eps
    assert torch.equal(broken(model, x_adv, y)[sure], (distance < eps)[sure])


def test_two_classes_pull_apart():
    """What takes one class over takes the other away: never more than the larger class can be broken."""
    model, x = random_linear(classes=2, centred=True), grey(20)
    y = classify(model, x)
    eps = 3 * float(closed_form(model, x, y, LINF).max())
    x_adv, _, _ = attacked(Universal(sweeps=2), model, x, y, eps=eps)
    assert 0 < int(broken(model, x_adv, y).sum()) <= int(torch.bincount(y).max())


@pytest.mark.thorough
def test_the_order_of_the_batch_plays_no_part():
    model, x = small_net(seed=1), images(12)
    y = classify(model, x)
    whole, _, _ = attacked(Universal(sweeps=2), model, x, y, eps=0.1)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    permutation, _, _ = attacked(Universal(sweeps=2), model, x[order], y[order], indices=order, eps=0.1)
    small, _, _ = attacked(Universal(sweeps=2), model, x, y, batch_size=5, eps=0.1)
    assert torch.allclose(permutation, whole[order], atol=1e-5)
    assert torch.allclose(small, whole, atol=1e-5)


def test_splitting_the_batch_matters_and_is_declared():
    model, x = small_net(seed=1), images(12)
    y = classify(model, x)
    whole, _, _ = attacked(Universal(sweeps=1), model, x, y, eps=0.1)
    part, _, _ = attacked(Universal(sweeps=1), model, x[:6], y[:6], eps=0.1)
    assert Universal.info.couples_images
    assert not torch.allclose(part, whole[:6], atol=1e-3)


def test_dropping_is_refused():
    model, x = small_net(seed=1), images(12)
    y = classify(model, x)
    plain, _, _ = attacked(Universal(sweeps=1), model, x, y, eps=0.1)
    dropping, oracle, _ = attacked(Universal(sweeps=1), model, x, y, eps=0.1, drop=True)
    assert torch.equal(plain, dropping)
    assert oracle.ledger.forwards.min() >= 2


@pytest.mark.thorough
def test_the_sweeps_stop_at_the_share_asked_for():
    model, x = small_net(seed=1), images(20)
    y = classify(model, x)
    _, lazy, _ = attacked(Universal(fooled=0.1), model, x, y, eps=0.3)
    _, eager, _ = attacked(Universal(sweeps=3, fooled=1.0), model, x, y, eps=0.3)
    assert lazy.ledger.forwards.sum() < eager.ledger.forwards.sum()


def test_each_turn_costs_one_image_alone():
    model, x = small_net(seed=1), images(5)
    y = classify(model, x)
    oracle = Oracle(model, x, y, ThreatModel(eps=1e-5))
    attack = Universal(sweeps=2, steps=1, rivals=1)
    attack(oracle, Randomness(0, torch.arange(5)))
    # Each sweep: one look at all, and for each turn one gradient and one look at where it led; a last look.
    assert oracle.ledger.forwards.tolist() == [2 * 3 + 1] * 5
    assert oracle.ledger.backwards.tolist() == [2] * 5


def test_a_joint_batch_goes_whole():
    model, x = joint(small_net(seed=1)), images(6)
    y = classify(model, x)
    model.net.sizes.clear()
    x_adv, _, _ = attacked(Universal(sweeps=1, steps=2, rivals=1), model, x, y, eps=0.2, batch_size=2)
    assert set(model.net.sizes) == {6}
    assert broken(model, x_adv, y).any()


@pytest.mark.slow
def test_it_breaks_as_many_digits_as_art():
    """At least as many as ART's, less two of 20."""
    from art.attacks.evasion import UniversalPerturbation
    from art.estimators.classification import PyTorchClassifier

    from robench.randomness import borrowed_global_randomness

    model, x, y = digits_cnn()
    x, y = x[:20], y[:20]
    loss = torch.nn.CrossEntropyLoss()
    classifier = PyTorchClassifier(model.net, loss, (1, 8, 8), 10, clip_values=(0, 1), device_type="cpu")
    theirs = UniversalPerturbation(
        classifier, attacker="deepfool", delta=0.0, max_iter=2, eps=0.25, norm="inf", verbose=False
    )
    with borrowed_global_randomness(0):
        library = torch.from_numpy(theirs.generate(x.numpy(), y.numpy())).clamp(0, 1)
    own, _, _ = attacked(Universal(sweeps=2), model, x, y, eps=0.25)
    assert int(broken(model, own, y).sum()) >= int(broken(model, library, y).sum()) - 2


@pytest.mark.parametrize("options", [{"sweeps": 0}, {"fooled": 1.5}, {"steps": 0}, {"overshoot": -1.0}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        Universal(**options)


def test_an_infinite_radius_is_refused():
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(Universal(), small_net(), images(2), eps=math.inf)
