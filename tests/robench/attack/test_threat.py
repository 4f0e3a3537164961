"""Laws of the threat model."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.attack.norms import L1, L2, LINF
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.randomness import Randomness
from tests.truths import images

every = pytest.mark.parametrize("norm", [LINF, L2, L1], ids=lambda n: n.name)


@every
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), eps=st.floats(0, 3), size=st.sampled_from([0.1, 1.0, 100.0]))
def test_what_is_projected_is_admitted_in_float32(norm, seed, eps, size):
    threat = ThreatModel(norm=norm, eps=eps)
    x = images(6, seed=seed)
    far = x + size * (images(6, seed=seed + 1) - 0.5)
    near = threat.project(x, far)
    assert threat.admits(x, near).all()
    assert torch.allclose(threat.project(x, near), near, atol=1e-6)
    samples = threat.sample(x, Randomness(seed, torch.arange(6)))
    assert threat.admits(x, samples).all()


@every
def test_admits_refuses_each_breach(norm):
    threat = ThreatModel(norm=norm, eps=0.1)
    x = torch.full((6, 1, 2, 2), 0.95)
    x_adv = x.clone()
    x_adv[1, 0, 0, 0] += 0.101 - 0.2  # inside
    x_adv[2, 0, 0, 0] -= 0.1011  # too far
    x_adv[3, 0, 0, 0] = 1.0001  # outside the box
    x_adv[4, 0, 0, 0] = torch.nan
    x_adv[5, 0, 0, 0] = torch.inf
    assert threat.admits(x, x_adv).tolist() == [True, True, False, False, False, False]
    assert not threat.admits(x, x - 0.1 * 1.01).any()


@pytest.mark.parametrize("eps", [0.3, 12.0, 300.0])
def test_l1_rounding_does_not_add_up_over_many_pixels(eps):
    """Every one of 12,288 pixels may be rounded the wrong way: the point is rounded towards x instead."""
    threat = ThreatModel(norm=L1, eps=eps)
    x = images(3, (3, 64, 64), low=0.4, high=0.9)
    for far in (x + 0.2 * (images(3, (3, 64, 64), seed=1) - 0.5), x + 1, x - 1):
        near = threat.project(x, far)
        size = L1.size(near.double() - x.double())
        assert (size <= eps).all()
        beyond = L1.size(threat.clip(far).double() - x.double()) > eps
        assert (size[beyond] >= eps - 6e-8 * x[0].numel()).all()
        assert torch.equal(near[~beyond], threat.clip(far)[~beyond])
        assert threat.admits(x, near).all()


def test_an_infinite_radius_only_keeps_the_box():
    threat = ThreatModel(eps=math.inf)
    x = images(3)
    assert not threat.bounded
    assert threat.admits(x, 1 - x).all()
    assert torch.equal(threat.project(x, x + 9), torch.ones_like(x))
    assert threat.spec()["eps"] == "inf"
    with pytest.raises(ConfigError, match="finite radius"):
        threat.sample(x, Randomness(0, torch.arange(3)))


@pytest.mark.parametrize("eps", [-0.1, math.nan])
def test_a_radius_that_means_nothing_is_refused(eps):
    with pytest.raises(ConfigError, match="eps"):
        ThreatModel(eps=eps)


def test_an_empty_box_is_refused():
    with pytest.raises(ConfigError, match="bounds"):
        ThreatModel(eps=1, bounds=(1, 0))


def test_spec_is_plain():
    spec = ThreatModel(eps=0.3, goal=Goal.TARGETED, budget=7).spec()
    assert spec["goal"] == "targeted"
    assert spec["budget"] == 7
    assert spec["norm"] == "Linf"


def one_pixel(value):
    return torch.tensor([[[[value]]]], dtype=torch.float64)


@every
@pytest.mark.parametrize("eps", [0.0, 0.1, 0.4])
def test_rounding_is_forgiven_up_to_a_millionth_of_the_radius_and_of_the_box(norm, eps):
    threat, x = ThreatModel(norm=norm, eps=eps), one_pixel(0.5)
    limit = eps + eps * 1e-6 + 1e-6
    for sign in (1, -1):
        assert threat.admits(x, x + sign * (limit - 1e-9)).all()
        assert not threat.admits(x, x + sign * (limit + 1e-9)).any()


@every
def test_the_limit_itself_is_admitted(norm):
    assert ThreatModel(norm=norm, eps=0).admits(one_pixel(0.0), one_pixel(1e-6)).all()


@every
def test_what_is_inside_is_left_bit_for_bit(norm):
    threat, x = ThreatModel(norm=norm, eps=0.3), images(3, low=0.3, high=0.6)
    near = x + 0.01 * (images(3, seed=1) - 0.5)
    assert threat.admits(x, near).all()
    if norm is not L1:  # of the others x + (near - x) is rounded
        assert torch.allclose(threat.project(x, near), near, rtol=0, atol=1e-7)
    else:
        assert torch.equal(threat.project(x, near), near)


def test_the_box_forgives_nothing():
    threat = ThreatModel(eps=1.0, bounds=(-0.5, 0.75))
    x = one_pixel(0.0)
    for inside in (-0.5, 0.75):
        assert threat.admits(x, one_pixel(inside)).all()
    for outside in (-0.5 - 1e-12, 0.75 + 1e-12):
        assert not threat.admits(x, one_pixel(outside)).any()


@every
def test_another_box_is_kept_by_projection_and_sampling(norm):
    threat = ThreatModel(norm=norm, eps=3.0, bounds=(-2.0, 0.5))
    x = images(5, low=-2.0, high=0.5)
    for far in (x + 9, x - 9):
        near = threat.project(x, far)
        assert threat.admits(x, near).all()
        assert (near >= -2).all()
        assert (near <= 0.5).all()
        assert not torch.equal(near, x)
    samples = threat.sample(x, Randomness(0, torch.arange(5)))
    assert threat.admits(x, samples).all()
    assert not torch.equal(samples, x)


def test_a_projection_by_hand_and_its_clipping():
    x = torch.tensor([[[[0.95, 0.5]]]])
    near = ThreatModel(norm=L2, eps=0.5).project(x, x + torch.tensor([3.0, 4.0]))
    assert torch.allclose(near, torch.tensor([[[[1.0, 0.9]]]]))  # 0.95 + 0.3, cut to 1; 0.5 + 0.4
    # Shrunk by t = 2.85, of 3 and 3.3 there remain 0.15, of which the box leaves 0.05, and 0.45.
    near = ThreatModel(norm=L1, eps=0.5).project(x, x + torch.tensor([3.0, 3.3]))
    assert torch.allclose(near, torch.tensor([[[[1.0, 0.95]]]]))
    assert (near <= torch.tensor([[[[1.0, 0.95]]]])).all()  # rounded towards x


@pytest.mark.parametrize("bounds", [(0.5, 0.5), (1.0, 0.0), (math.nan, 1.0)])
def test_a_box_without_a_point_inside_is_refused(bounds):
    with pytest.raises(ConfigError, match="lower < upper"):
        ThreatModel(eps=1, bounds=bounds)


def test_a_budget_is_at_least_one_pass():
    assert ThreatModel(eps=1, budget=1).budget == 1
    for none in (0, -1):
        with pytest.raises(ConfigError, match="at least one pass"):
            ThreatModel(eps=1, budget=none)


def test_the_radius_may_be_nothing():
    threat = ThreatModel(eps=0)
    x = images(2)
    assert threat.bounded
    assert torch.equal(threat.project(x, x + 1), x)


def test_all_of_a_threat_is_in_its_spec():
    threat = ThreatModel(
        norm=L2, eps=0.5, bounds=(-1.0, 1.0), goal=Goal.TARGETED, knowledge=("template", "weights"), budget=3
    )
    assert threat.spec() == {
        "norm": "L2", "eps": 0.5, "bounds": [-1.0, 1.0], "goal": "targeted",
        "knowledge": ["weights", "template"], "budget": 3,
    }  # fmt: skip
    assert ThreatModel(eps=1).spec()["budget"] is None
    assert ThreatModel(eps=1).spec()["bounds"] == [0.0, 1.0]
