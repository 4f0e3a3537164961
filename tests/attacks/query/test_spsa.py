"""SPSA: an unbiased gradient on quadratics, exact by enumeration, and torchattacks on digits."""

import itertools
import math

import pytest
import torch

from attacks.gradient.pgd import PGD
from attacks.query.spsa import SPSA, estimate
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.randomness import Randomness
from tests.attacks.digits import digits_cnn
from tests.attacks.test_truths import closed_form, grey
from tests.truths import Lambda, attacked, broken, classify, images, random_linear, small_net


def quadratic(pixels, seed=0):
    """f(x) = x'Ax / 2 + b'x of flattened images in float64, with its gradient."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(pixels, pixels, generator=generator, dtype=torch.float64)
    a, b = a + a.T, torch.randn(pixels, generator=generator, dtype=torch.float64)

    def value(x):
        flat = x.flatten(1)
        return ((flat @ a) * flat).sum(dim=1) / 2 + flat @ b

    return value, lambda x: (x.flatten(1) @ a + b).view_as(x)


class Signs(Randomness):
    """Randomness that deals out all sign patterns of a few pixels in turn."""

    def __init__(self, pixels):
        object.__setattr__(self, "patterns", itertools.product((0.25, 0.75), repeat=pixels))

    def uniform(self, like):
        return torch.tensor(next(self.patterns), dtype=like.dtype).view(1, *like.shape[1:]).expand_as(like)


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(SPSA(steps=2, samples=2)))


def test_the_mean_over_all_signs_is_the_gradient_of_a_quadratic():
    value, gradient = quadratic(6)
    x = images(3, (1, 2, 3), dtype=torch.float64)
    mean = estimate(value, x, Signs(6), samples=2**6, delta=0.3)
    assert torch.allclose(mean, gradient(x), atol=1e-9)


def test_the_estimate_is_unbiased():
    """Over 4000 images that are all the same, within four standard errors; the variance is known, too."""
    value, gradient = quadratic(9, seed=1)
    x = images(1, (1, 3, 3), dtype=torch.float64)
    truth, samples = gradient(x).flatten(), 2
    many = x.expand(4000, -1, -1, -1)
    estimates = estimate(value, many, Randomness(0, torch.arange(4000)), samples=samples, delta=0.05).flatten(
        1
    )
    # Component i is g_i plus the sum of the other components with random signs.
    variance = (truth.square().sum() - truth.square()) / samples
    assert ((estimates.mean(dim=0) - truth).abs() < 4 * (variance / 4000).sqrt()).all()
    assert torch.allclose(estimates.var(dim=0), variance, rtol=0.15)


def test_a_difference_that_is_no_number_counts_as_nothing():
    x = images(2, (1, 2, 2))

    def value(point):
        return torch.tensor([-math.inf, 1.0]) * point.flatten(1).sum(dim=1)

    estimates = estimate(value, x, Randomness(0, torch.arange(2)), samples=3, delta=0.1)
    assert torch.equal(estimates[0], torch.zeros_like(estimates[0]))
    assert (estimates[1] != 0).any()


def test_every_query_lies_in_the_box_and_is_paid():
    model, x = small_net(seed=1), images(4).round()  # all pixels at the box's ends
    queries = []
    model.net.register_forward_hook(lambda net, inputs, outputs: queries.append(inputs[0]))
    y = classify(model, x)
    queries.clear()
    _, oracle, _ = attacked(SPSA(steps=3, samples=5), model, x, y, eps=0.0001)
    assert len(queries) == 3 * (2 * 5 + 1)
    assert oracle.ledger.forwards.tolist() == [33] * 4
    assert all(float(point.min()) >= 0 and float(point.max()) <= 1 for point in queries)


@pytest.mark.thorough
@pytest.mark.parametrize("norm", [LINF, L2], ids=lambda n: n.name)
def test_a_linear_model_breaks_where_geometry_says(norm):
    model, x = random_linear(classes=2, centred=True), grey(20)
    y = classify(model, x)
    distance = closed_form(model, x, y, norm)
    eps = float(distance.median())
    attack = SPSA(steps=15, samples=20, learning_rate=eps / 5)
    x_adv, _, _ = attacked(attack, model, x, y, norm=norm, eps=eps)
    breaks = broken(model, x_adv, y)
    assert not breaks[distance > 1.0001 * eps].any()
    near = 0.9 if norm is L2 else 0.97
    assert breaks[distance < near * eps].all()


@pytest.mark.thorough
def test_it_breaks_a_model_that_masks_its_gradients():
    """Scores rounded to 1e-4: no gradient at all, but the scores still tell the way."""
    inner, x = small_net(seed=1), images(20)
    rough_model = Model(name="masked", net=Lambda(lambda z: (inner.net(z) * 1e4).round() / 1e4), classes=4)
    y = classify(rough_model, x)
    by_gradient, _, _ = attacked(PGD(steps=10, random_start=False), rough_model, x, y, eps=0.05)
    by_scores, _, _ = attacked(SPSA(steps=10, samples=16), rough_model, x, y, eps=0.05)
    assert not broken(rough_model, by_gradient, y).any()
    assert broken(rough_model, by_scores, y).float().mean() > 0.25


def test_no_gradient_is_taken():
    def scores(z):
        assert not torch.is_grad_enabled()
        return inner.net(z)

    inner, x = small_net(seed=1), images(4)
    model = Model(name="box", net=Lambda(scores), classes=4)
    y = classify(inner, x)
    threat = ThreatModel(eps=0.05)
    oracle = Oracle(model, x, y, threat)
    SPSA(steps=2, samples=2)(oracle, Randomness(0, torch.arange(4)))
    assert oracle.ledger.backwards.tolist() == [0] * 4


@pytest.mark.thorough
def test_robust_accuracy_agrees_with_torchattacks():
    """Within 12 points of 40 digits, for 12 steps of 32 pairs of queries each."""
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = digits_cnn()
    x, y = x[:40], y[:40]
    own, _, _ = attacked(SPSA(steps=12, samples=32), model, x, y, eps=0.15, drop=True)
    theirs = torchattacks.SPSA(
        model.net, eps=0.15, delta=0.01, lr=0.01, nb_iter=12, nb_sample=32, max_batch_size=32
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        library = theirs(x, y)
    ours, other = (float(broken(model, images, y).float().mean()) for images in (own, library))
    assert 0.2 < other < 0.95
    assert abs(ours - other) < 0.12


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"samples": 0}, {"delta": 0.0}, {"learning_rate": math.nan}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        SPSA(**options)


@pytest.mark.parametrize(("attack", "eps"), [(SPSA(), math.inf), (SPSA(delta=0.6), 0.1)])
def test_what_leaves_no_room_is_refused(attack, eps):
    with pytest.raises(ConfigError, match=r"finite radius|half the box"):
        attacked(attack, small_net(), images(2), eps=eps)
