"""Certificates against closed forms: where the truth is known, they are below it and approach it."""

import math

import pytest
import torch
from scipy.stats import binomtest, norm

from defenses.inference.bit_depth import BitDepth
from defenses.inference.smoothing import Smoothing
from robench.audit.certify import Certified, as_csv, certified_at
from robench.errors import ConfigError
from robench.judge.certification import ABSTAIN, Certificate, certify, clopper_pearson_lower
from tests.truths import images, joint, linear, small_net


def half_space(dimensions=16):
    """Class 1 where the pixels sum to more than half of their number: the boundary is at a known distance."""
    weight = torch.stack([torch.zeros(dimensions), torch.ones(dimensions)])
    return linear(weight, torch.tensor([0.0, -dimensions / 2]))


def smooth(base, sigma=0.5, seed=0):
    return Smoothing(sigma=sigma, votes=3)(base, training_data=lambda: None, seed=seed)


def at(distance, count=1):
    """Images (1, 4, 4) at a signed L2 distance from the boundary of `half_space`, all different."""
    generator = torch.Generator().manual_seed(0)
    ripple = torch.randn(count, 16, generator=generator) * 0.01
    ripple -= ripple.mean(dim=1, keepdim=True)
    return (0.5 + distance / 4 + ripple).view(count, 1, 4, 4)


@pytest.mark.parametrize(
    ("successes", "n", "alpha"), [(1, 1, 0.05), (7, 10, 0.01), (999, 1000, 0.001), (50, 100, 0.3)]
)
def test_the_lower_bound_is_scipys_exact_interval(successes, n, alpha):
    expected = binomtest(successes, n, alternative="greater").proportion_ci(1 - alpha, method="exact").low
    assert clopper_pearson_lower(successes, n, alpha) == pytest.approx(expected, rel=1e-9)


def test_the_lower_bound_by_hand():
    assert clopper_pearson_lower(0, 5, 0.05) == 0.0
    assert clopper_pearson_lower(5, 5, 0.05) == pytest.approx(0.05 ** (1 / 5))
    # One success of two: P(at least one) = 1 - (1 - p)^2 = alpha.
    assert clopper_pearson_lower(1, 2, 0.19) == pytest.approx(0.1)


@pytest.mark.parametrize("distance", [0.3, -0.4])
def test_the_radius_is_below_the_distance_to_the_boundary_and_approaches_it(distance):
    model = smooth(half_space())
    radii = []
    for n in (200, 1000, 5000):
        (certificate,) = certify(model, at(distance), n0=100, n=n, alpha=0.01)
        assert certificate.prediction == int(distance > 0)
        assert certificate.radius <= abs(distance)
        radii.append(certificate.radius)
    assert radii == sorted(radii)
    # The estimate deviates by sqrt(p (1 - p) / n) sigma / density = 0.01; the bound lies 2.33 of that lower.
    assert radii[-1] > abs(distance) - (2.33 + 3) * 0.01


def test_the_radius_is_the_formula_of_the_votes():
    model, x = smooth(half_space()), at(0.3)
    (certificate,) = certify(model, x, n0=10, n=300, alpha=0.05)
    votes = int(model.net.counts(x, 300, use="certify: bound")[0, 1])
    expected = 0.5 * norm.ppf(clopper_pearson_lower(votes, 300, 0.05))
    assert certificate.radius == pytest.approx(expected)


def test_nothing_is_certain_on_the_boundary():
    certificates = certify(smooth(half_space()), at(0.0, count=30), n0=20, n=200, alpha=0.001)
    assert sum(c == Certificate(ABSTAIN, 0.0) for c in certificates) >= 28


def test_certificates_fail_no_more_often_than_promised():
    # A certificate fails if its radius exceeds the true one, which is the distance to the boundary.
    alpha, count = 0.2, 400
    certificates = certify(smooth(half_space()), at(0.2, count=count), n0=20, n=60, alpha=alpha)
    wrong = sum(c.prediction == 0 or c.radius > 0.2 for c in certificates)
    assert wrong <= count * alpha + 3 * math.sqrt(count * alpha * (1 - alpha))
    assert wrong > count * alpha / 4  # the bound is not idle either


def test_certificates_do_not_depend_on_the_batch():
    model, x = smooth(small_net(), sigma=0.3), images(7)
    whole = certify(model, x, n0=20, n=200)
    assert certify(model, x[:3], n0=20, n=200) + certify(model, x[3:], n0=20, n=200) == whole
    assert certify(model, x.flip(0), n0=20, n=200)[::-1] == whole
    assert certify(smooth(small_net(), sigma=0.3, seed=1), x, n0=20, n=200) != whole


def test_what_has_no_certificate_is_refused():
    model, x = smooth(half_space()), at(0.3)
    with pytest.raises(ConfigError, match="listed first"):
        certify(half_space(), x)
    with pytest.raises(ConfigError, match="listed first"):
        certify(BitDepth()(model, training_data=lambda: None, seed=0), x)
    with pytest.raises(ConfigError, match="joint"):
        certify(smooth(joint(half_space())), x)
    with pytest.raises(ConfigError, match="alpha"):
        certify(model, x, alpha=1.0)


def test_a_transform_behind_the_noise_can_be_certified():
    model = smooth(BitDepth()(half_space(), training_data=lambda: None, seed=0), sigma=0.1)
    assert certify(model, at(0.5), n0=10, n=100)[0].prediction == 1


def test_certified_images_are_counted_and_written():
    images = [
        Certified(7, 1, Certificate(1, 0.5)),
        Certified(8, 0, Certificate(1, 0.9)),
        Certified(9, 0, Certificate(ABSTAIN, 0.0)),
    ]
    assert [certified_at(images, radius) for radius in (0.0, 0.5, 0.51)] == [1, 1, 0]
    assert as_csv(images).splitlines() == [
        "index,label,prediction,radius,correct",
        "7,1,1,0.5,true",
        "8,0,1,0.9,false",
        "9,0,abstain,0,false",
    ]
