"""Laws of norms and threat models."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.errors import ConfigError
from robench.norms import L2, LINF, NORMS, norm_named
from robench.randomness import Randomness
from tests.truths import images

both = pytest.mark.parametrize("norm", [LINF, L2], ids=lambda n: n.name)
seeds = st.integers(0, 2**31 - 1)
scales = st.floats(1e-6, 1e4)


def draw(seed, scale=1.0, count=5, shape=(2, 3, 2)):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, *shape, generator=generator, dtype=torch.float64)


@both
@settings(max_examples=40, deadline=None)
@given(seed=seeds, scale=scales, eps=st.floats(0, 10))
def test_projection_is_feasible_idempotent_and_leaves_the_ball_alone(norm, seed, scale, eps):
    delta, radius = draw(seed, scale), torch.full((5,), eps, dtype=torch.float64)
    once = norm.project(delta, radius)
    assert (norm.size(once) <= eps * (1 + 1e-12)).all()
    assert torch.allclose(norm.project(once, radius), once, rtol=1e-12, atol=0)
    inside = norm.size(delta) <= eps
    assert torch.equal(once[inside], delta[inside])


@both
@settings(max_examples=40, deadline=None)
@given(seed=seeds, eps=st.floats(0.01, 3))
def test_projection_is_the_nearest_point(norm, seed, eps):
    delta, radius = draw(seed, 2.0), torch.full((5,), eps, dtype=torch.float64)
    nearest = norm.project(delta, radius)
    rival = norm.project(draw(seed + 1, 2.0), radius)  # any other point of the ball
    distance = (delta - nearest).flatten(1).norm(dim=1)
    assert (distance <= (delta - rival).flatten(1).norm(dim=1) + 1e-12).all()


@both
@settings(max_examples=40, deadline=None)
@given(seed=seeds, scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e20]))
def test_ascent_is_a_unit_step_that_attains_the_dual_norm(norm, seed, scale):
    gradient = draw(seed, scale)
    step = norm.ascent(gradient)
    assert torch.allclose(norm.size(step), torch.ones(5, dtype=torch.float64), rtol=1e-12)
    gain = (step * gradient).flatten(1).sum(dim=1)
    dual = gradient.flatten(1).norm(p=1 if norm is LINF else 2, dim=1)
    assert torch.allclose(gain, dual, rtol=1e-9)


@both
def test_ascent_of_no_gradient_is_no_step_and_a_tiny_one_is_a_whole_one(norm):
    gradient = torch.zeros(2, 1, 2, 2)
    gradient[1] = 1e-38
    step = norm.ascent(gradient)
    assert torch.equal(step[0], torch.zeros(1, 2, 2))
    assert float(norm.size(step)[1]) == pytest.approx(1)


@both
@settings(max_examples=20, deadline=None)
@given(seed=seeds, eps=st.floats(0, 5))
def test_samples_lie_in_the_ball(norm, seed, eps):
    like = torch.empty(6, 1, 3, 3, dtype=torch.float64)
    found = norm.sample(like, torch.full((6,), eps, dtype=torch.float64), Randomness(seed, torch.arange(6)))
    assert (norm.size(found) <= eps * (1 + 1e-9)).all()


@both
def test_samples_are_uniform_in_volume(norm):
    count, dimension = 20_000, 3
    like = torch.empty(count, 1, 1, dimension, dtype=torch.float64)
    found = norm.sample(like, torch.ones(count, dtype=torch.float64), Randomness(0, torch.arange(count)))
    assert (norm.size(found) <= 0.5).double().mean() == pytest.approx(0.5**dimension, abs=0.01)
    assert found.mean(dim=0).abs().max() < 0.02


def test_sizes_by_hand():
    delta = torch.tensor([[[[3.0, -4.0]]]])
    assert float(LINF.size(delta)) == 4
    assert float(L2.size(delta)) == 5
    assert torch.allclose(L2.project(delta, torch.tensor([1.0])), torch.tensor([[[[0.6, -0.8]]]]))
    assert torch.equal(LINF.project(delta, torch.tensor([1.0])), torch.tensor([[[[1.0, -1.0]]]]))


def test_names():
    assert norm_named("Linf") is LINF
    assert set(NORMS) == {"Linf", "L2"}
    with pytest.raises(ConfigError, match="Linf"):
        norm_named("linf")


def test_empty_batches():
    for norm in (LINF, L2):
        empty = images(0)
        assert norm.size(empty).shape == (0,)
        assert norm.sample(empty, torch.empty(0), Randomness(0, torch.arange(0))).shape == empty.shape
        assert norm.ascent(empty).shape == empty.shape
