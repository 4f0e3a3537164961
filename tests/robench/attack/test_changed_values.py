"""L0 against brute force over all sets of values."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.attack.norms import L0
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from robench.randomness import Randomness
from tests.truths import images

seeds = st.integers(0, 2**31 - 1)


def perturbations(seed, count=4, shape=(1, 2, 3)):
    generator = torch.Generator().manual_seed(seed)
    delta = torch.randn(count, *shape, generator=generator, dtype=torch.float64)
    return delta.where(torch.rand(delta.shape, generator=generator) < 0.8, 0.0)


def radii(value, count=4):
    return torch.full((count,), float(value), dtype=torch.float64)


def least_distance(delta, count, low, high):
    """Distance of one perturbation to the nearest of at most `count` entries inside a box, by enumeration."""
    flat, low, high = delta.flatten(), low.flatten(), high.flatten()
    best = math.inf
    for places in itertools.combinations(range(len(flat)), min(count, len(flat))):
        point = torch.zeros_like(flat)
        for place in places:
            point[place] = flat[place].clamp(low[place], high[place])
        best = min(best, float((flat - point).norm()))
    return best


def test_size_counts_what_changes():
    assert L0.size(torch.tensor([[[[0.0, 1e-30, -2.0]]], [[[0.0, 0.0, 0.0]]]])).tolist() == [2, 0]


@settings(max_examples=40, deadline=None)
@given(seed=seeds, count=st.integers(0, 7))
def test_projection_is_the_nearest_point(seed, count):
    delta = perturbations(seed)
    nearest = L0.project(delta, radii(count))
    assert (L0.size(nearest) <= count).all()
    wide = torch.full_like(delta[0], 100.0)
    for own, point in zip(delta, nearest, strict=True):
        assert float((own - point).norm()) == pytest.approx(
            least_distance(own, count, -wide, wide), abs=1e-12
        )
    assert torch.equal(L0.project(nearest, radii(count)), nearest)
    assert torch.equal(L0.project(delta, radii(6)), delta)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, count=st.integers(0, 7))
def test_projection_on_ball_and_box_is_the_nearest_point(seed, count):
    delta = 2 * perturbations(seed)
    room = torch.rand(2, *delta.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    nearest = L0.project_boxed(delta, radii(count), -room[0], room[1])
    assert (L0.size(nearest) <= count).all()
    assert ((nearest >= -room[0]) & (nearest <= room[1])).all()
    for own, point, low, high in zip(delta, nearest, -room[0], room[1], strict=True):
        assert float((own - point).norm()) == pytest.approx(least_distance(own, count, low, high), abs=1e-12)


def test_ascent_moves_the_steepest_value_by_one():
    assert torch.equal(L0.ascent(torch.tensor([[[[3.0, -4.0]]]])), torch.tensor([[[[0.0, -1.0]]]]))
    assert torch.equal(L0.ascent(torch.zeros(1, 1, 1, 2)), torch.zeros(1, 1, 1, 2))


def test_samples_change_as_many_values_as_allowed_each_as_often():
    count = 4_000
    like = torch.empty(count, 1, 1, 5, dtype=torch.float64)
    samples = L0.sample(like, radii(2, count), Randomness(0, torch.arange(count)))
    assert (L0.size(samples) == 2).all()
    shares = (samples != 0).double().mean(dim=0).flatten()
    assert torch.allclose(shares, torch.full((5,), 0.4, dtype=torch.float64), atol=0.03)
    assert float(samples.abs().max()) <= 1
    assert abs(float(samples.mean())) < 0.01


@settings(max_examples=20, deadline=None)
@given(seed=seeds, eps=st.integers(0, 12))
def test_a_threat_projects_into_what_it_admits(seed, eps):
    threat = ThreatModel(norm=L0, eps=eps)
    x = images(6, (1, 3, 3), seed)
    point = threat.project(x, 3 * images(6, (1, 3, 3), seed + 1) - 1)
    assert threat.admits(x, point).all()
    assert ((point != x).flatten(1).sum(dim=1) <= eps).all()
    assert threat.admits(x, threat.sample(x, Randomness(0, torch.arange(6)))).all()


@pytest.mark.parametrize("eps", [8 / 255, 0.5, 2.5])
def test_a_part_of_a_value_is_no_radius(eps):
    with pytest.raises(ConfigError, match="whole number"):
        ThreatModel(norm=L0, eps=eps)
    ThreatModel(norm=L0, eps=math.inf)


def test_empty_batches():
    empty = images(0)
    assert L0.project(empty, torch.empty(0)).shape == empty.shape
    assert L0.size(empty).shape == (0,)
