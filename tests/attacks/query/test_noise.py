"""Noise: as often over a hyperplane as its cap of the sphere says, and never over one out of reach."""

import math

import pytest
import torch
from scipy.stats import beta

from attacks.query.noise import Noise, coarse_noise, corner
from robench.attack.norms import L1, L2, LINF
from robench.attack.threat import ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.randomness import Randomness
from tests.truths import Lambda, attacked, broken, classify, images, linear, small_net

norms = pytest.mark.parametrize("norm", [LINF, L2, L1], ids=lambda n: n.name)


def tilted(pixels, distance):
    """Two classes apart along the first pixel, which must rise by `distance` from mid-grey."""
    weight = torch.zeros(2, pixels)
    weight[1, 0] = 1.0
    return linear(weight, torch.tensor([0.5 + distance, 0.0]))


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(Noise(points=8)))


@norms
def test_corners_are_extreme_points(norm):
    x = torch.full((50, 1, 3, 3), 0.5)
    threat = ThreatModel(norm=norm, eps=0.2)
    changes = corner(x, threat, Randomness(0, torch.arange(50))) - x
    assert torch.allclose(norm.size(changes), torch.full((50,), 0.2), atol=1e-6)
    if norm is LINF:
        assert torch.allclose(changes.abs(), torch.full_like(changes, 0.2), atol=1e-6)
    assert len({tuple((image * 100).round().flatten().tolist()) for image in changes}) > 9


def test_as_many_break_as_the_cap_of_the_sphere_says():
    """A pixel of a uniform point of the L2 ball follows a beta law; one try each of 4000 images."""
    pixels, eps, distance = 6, 0.3, 0.1
    model, x = tilted(pixels, distance), torch.full((4000, 1, 1, pixels), 0.5)
    y = torch.zeros(4000, dtype=torch.int64)
    x_adv, _, _ = attacked(Noise(points=1), model, x, y, norm=L2, eps=eps)
    # The first coordinate of the uniform ball in d dimensions is 2 B - 1, B ~ Beta((d + 1) / 2, (d + 1) / 2).
    share = beta.sf((1 + distance / eps) / 2, (pixels + 1) / 2, (pixels + 1) / 2)
    frequency = float(broken(model, x_adv, y).float().mean())
    assert 0.05 < share < 0.5
    assert frequency == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))


@pytest.mark.parametrize("corners", [False, True])
def test_several_tries_break_as_often_as_they_should(corners):
    """Under Linf a point breaks with probability (1 - t) / 2, a corner with 1 / 2."""
    eps, distance, points = 0.2, 0.15, 3
    model, x = tilted(4, distance), torch.full((4000, 1, 1, 4), 0.5)
    y = torch.zeros(4000, dtype=torch.int64)
    x_adv, _, _ = attacked(Noise(points=points, corners=corners), model, x, y, eps=eps)
    single = (1 - distance / eps) / 2
    survival = (1 - single) ** 2 * (0.5 if corners else 1 - single)
    frequency = float(broken(model, x_adv, y).float().mean())
    assert frequency == pytest.approx(1 - survival, abs=4 * math.sqrt(survival * (1 - survival) / 4000))


@norms
def test_nothing_out_of_reach_is_broken(norm):
    model, x = tilted(4, 0.11), torch.full((300, 1, 1, 4), 0.5)
    x_adv, oracle, _ = attacked(Noise(points=10), model, x, norm=norm, eps=0.1)
    assert not oracle.broken.any()
    assert oracle.threat.admits(x, x_adv).all()
    assert oracle.ledger.forwards.tolist() == [10] * 300


def test_coarse_noise_is_made_of_squares_that_grow():
    x, threat = images(5, (2, 9, 12)), ThreatModel(norm=L2, eps=math.inf, bounds=(0.0, 2.0))
    rng = Randomness(0, torch.arange(5))
    for number, side in enumerate([1, 2, 4, 8, 1, 2]):
        noise = coarse_noise(x, number, rng.split(number), threat)
        assert noise.shape == x.shape
        for start in range(0, 9, side):
            block = noise[..., start : start + side, :side]
            assert torch.equal(block, block[..., :1, :1].expand_as(block))
        assert len(noise[:, :, ::side, ::side].unique()) > (9 if number < 4 else 1)
        assert 0 <= float(noise.min()) <= float(noise.max()) <= 2
    assert set(coarse_noise(x, 4, rng.split(4), threat).unique().tolist()) == {0.0, 2.0}


def test_only_labels_matter():
    inner, x = small_net(seed=1), images(30)
    y = classify(inner, x)
    hard = Model(
        name="hard", net=Lambda(lambda z: torch.eye(4)[inner.net(z).argmax(dim=1)].to(z.dtype)), classes=4
    )
    soft, _, _ = attacked(Noise(points=20), inner, x, y, eps=0.15)
    proposal, _, _ = attacked(Noise(points=20), hard, x, y, eps=0.15)
    assert torch.equal(soft, proposal)
    assert 3 < int(broken(inner, soft, y).sum()) < 27


def test_more_points_break_no_less():
    model, x = small_net(seed=1), images(60)
    y = classify(model, x)
    few, many = (attacked(Noise(points=n), model, x, y, eps=0.1)[0] for n in (4, 40))
    assert not (broken(model, few, y) & ~broken(model, many, y)).any()
    assert broken(model, many, y).sum() > broken(model, few, y).sum()


def test_what_means_nothing_is_refused():
    with pytest.raises(ConfigError):
        Noise(points=0)
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(Noise(), small_net(), images(2), eps=math.inf)
