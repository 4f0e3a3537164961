"""Laws of norms and threat models."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.attack.norms import L1, L2, LINF, NORMS, norm_named
from robench.errors import ConfigError
from robench.randomness import Randomness
from tests.truths import images

every = pytest.mark.parametrize("norm", [LINF, L2, L1], ids=lambda n: n.name)
DUAL = {"Linf": 1, "L2": 2, "L1": math.inf}
seeds = st.integers(0, 2**31 - 1)
scales = st.floats(1e-6, 1e4)


def draw(seed, scale=1.0, count=5, shape=(2, 3, 2)):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, *shape, generator=generator, dtype=torch.float64)


@every
@settings(max_examples=40, deadline=None)
@given(seed=seeds, scale=scales, eps=st.floats(0, 10))
def test_projection_is_feasible_idempotent_and_leaves_the_ball_alone(norm, seed, scale, eps):
    delta, radius = draw(seed, scale), torch.full((5,), eps, dtype=torch.float64)
    once = norm.project(delta, radius)
    unit = eps if eps > 1e-300 else 1.0  # squares of smaller numbers have few digits, or none
    assert (norm.size(once / unit) <= eps / unit * (1 + 1e-12)).all()
    assert torch.allclose(norm.project(once, radius), once, rtol=1e-12, atol=0)
    inside = norm.size(delta) <= eps
    assert torch.equal(once[inside], delta[inside])


@every
@settings(max_examples=40, deadline=None)
@given(seed=seeds, eps=st.floats(0.01, 3))
def test_projection_is_the_nearest_point(norm, seed, eps):
    delta, radius = draw(seed, 2.0), torch.full((5,), eps, dtype=torch.float64)
    nearest = norm.project(delta, radius)
    rival = norm.project(draw(seed + 1, 2.0), radius)  # any other point of the ball
    distance = (delta - nearest).flatten(1).norm(dim=1)
    assert (distance <= (delta - rival).flatten(1).norm(dim=1) + 1e-12).all()


@every
@settings(max_examples=40, deadline=None)
@given(seed=seeds, eps=st.floats(0, 3))
def test_projection_brings_no_two_points_further_apart(norm, seed, eps):
    first, second, radius = draw(seed, 2.0), draw(seed + 1, 2.0), torch.full((5,), eps, dtype=torch.float64)
    difference = norm.project(first, radius) - norm.project(second, radius)
    assert (L2.size(difference) <= L2.size(first - second) * (1 + 1e-9)).all()


@every
@settings(max_examples=40, deadline=None)
@given(seed=seeds, scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e20]))
def test_ascent_is_a_unit_step_that_attains_the_dual_norm(norm, seed, scale):
    gradient = draw(seed, scale)
    step = norm.ascent(gradient)
    assert torch.allclose(norm.size(step), torch.ones(5, dtype=torch.float64), rtol=1e-12)
    gain = (step * gradient).flatten(1).sum(dim=1)
    dual = gradient.flatten(1).norm(p=DUAL[norm.name], dim=1)
    assert torch.allclose(gain, dual, rtol=1e-9)


@every
def test_ascent_of_no_gradient_is_no_step_and_a_tiny_one_is_a_whole_one(norm):
    gradient = torch.zeros(2, 1, 2, 2)
    gradient[1] = 1e-38
    step = norm.ascent(gradient)
    assert torch.equal(step[0], torch.zeros(1, 2, 2))
    assert float(norm.size(step)[1]) == pytest.approx(1)


@every
@settings(max_examples=20, deadline=None)
@given(seed=seeds, eps=st.floats(0, 5))
def test_samples_lie_in_the_ball(norm, seed, eps):
    like = torch.empty(6, 1, 3, 3, dtype=torch.float64)
    samples = norm.sample(like, torch.full((6,), eps, dtype=torch.float64), Randomness(seed, torch.arange(6)))
    assert (norm.size(samples) <= eps * (1 + 1e-9)).all()


@every
def test_samples_are_uniform_in_volume(norm):
    count, dimension = 20_000, 3
    like = torch.empty(count, 1, 1, dimension, dtype=torch.float64)
    samples = norm.sample(like, torch.ones(count, dtype=torch.float64), Randomness(0, torch.arange(count)))
    assert (norm.size(samples) <= 0.5).double().mean() == pytest.approx(0.5**dimension, abs=0.01)
    assert samples.mean(dim=0).abs().max() < 0.02


def test_sizes_by_hand():
    delta = torch.tensor([[[[3.0, -4.0]]]])
    assert float(LINF.size(delta)) == 4
    assert float(L2.size(delta)) == 5
    assert torch.allclose(L2.project(delta, torch.tensor([1.0])), torch.tensor([[[[0.6, -0.8]]]]))
    assert torch.equal(LINF.project(delta, torch.tensor([1.0])), torch.tensor([[[[1.0, -1.0]]]]))
    assert float(L1.size(delta)) == 7
    assert torch.allclose(L1.project(delta, torch.tensor([2.0])), torch.tensor([[[[0.5, -1.5]]]]))
    assert torch.equal(L1.ascent(delta), torch.tensor([[[[0.0, -1.0]]]]))


def test_names():
    assert norm_named("Linf") is LINF
    assert norm_named("L1") is L1
    assert set(NORMS) == {"Linf", "L2", "L1", "L0"}
    with pytest.raises(ConfigError, match="Linf"):
        norm_named("linf")


def test_empty_batches():
    for norm in NORMS.values():
        empty = images(0)
        assert norm.project(empty, torch.empty(0)).shape == empty.shape
        assert norm.size(empty).shape == (0,)
        assert norm.sample(empty, torch.empty(0), Randomness(0, torch.arange(0))).shape == empty.shape
        assert norm.ascent(empty).shape == empty.shape


def boxed(seed, dimension=4):
    """Perturbations, radii, and boxes around zero; the box binds on some entries, the ball on some images."""
    generator = torch.Generator().manual_seed(seed)
    delta = 2 * torch.randn(5, 1, 1, dimension, generator=generator, dtype=torch.float64)
    low, high = (torch.rand(5, 1, 1, dimension, generator=generator, dtype=torch.float64) for _ in range(2))
    low[0], high[1] = 0, 0  # images on the box's edge
    return delta, torch.tensor([0.5, 0.5, 1.0, 2.0, 9.0], dtype=torch.float64), -low, high


@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_l1_projection_on_ball_and_box_solves_the_quadratic_program(seed):
    from scipy.optimize import LinearConstraint, minimize

    delta, radius, low, high = boxed(seed)
    projection = L1.project_boxed(delta, radius, low, high)
    assert (L1.size(projection) <= radius * (1 + 1e-12)).all()
    assert ((low <= projection) & (projection <= high)).all()
    # The same as a smooth program: d = p - q with p, q >= 0 and sum p + q <= eps.
    for i in range(5):
        point, dimension = delta[i].flatten().numpy(), delta[i].numel()
        program = minimize(
            lambda v, w=point, n=dimension: ((v[:n] - v[n:] - w) ** 2).sum(),
            x0=[0.0] * (2 * dimension),
            jac=lambda v, w=point, n=dimension: [
                *(2 * (v[:n] - v[n:] - w)), *(-2 * (v[:n] - v[n:] - w))
            ],
            bounds=[*((0, float(h)) for h in high[i].flatten()), *((0, -float(v)) for v in low[i].flatten())],
            constraints=LinearConstraint([[1.0] * (2 * dimension)], ub=float(radius[i])),
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 300},
        )  # fmt: skip
        solution = program.x[:dimension] - program.x[dimension:]
        assert projection[i].flatten().tolist() == pytest.approx(solution.tolist(), abs=2e-5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_l1_projection_on_ball_and_box_is_idempotent_and_nonexpansive(seed):
    delta, radius, low, high = boxed(seed, dimension=30)
    other = boxed(seed + 1, dimension=30)[0]
    once, twin = (L1.project_boxed(d, radius, low, high) for d in (delta, other))
    assert torch.allclose(L1.project_boxed(once, radius, low, high), once, rtol=1e-10, atol=1e-14)
    assert (L2.size(once - twin) <= L2.size(delta - other) * (1 + 1e-9)).all()
    # Projecting on the ball and clipping then wastes radius, which is why the joint projection exists.
    nearby = torch.minimum(torch.maximum(L1.project(delta, radius), low), high)
    assert (L1.size(nearby) <= L1.size(once) * (1 + 1e-12)).all()
    assert (L1.size(nearby) < 0.9 * L1.size(once)).any()


@pytest.mark.parametrize(("norm", "radius"), [(LINF, 0.5), (L2, 0.5), (L1, 0.5)], ids=["Linf", "L2", "L1"])
@pytest.mark.parametrize("dimension", [1, 2, 6])
def test_samples_have_the_law_of_a_uniform_ball(norm, radius, dimension):
    # Of a ball of radius r in n dimensions the share within s has probability (s / r)^n, whatever the norm.
    count = 20_000
    like = torch.empty(count, 1, 1, dimension, dtype=torch.float64)
    samples = norm.sample(like, torch.full((count,), radius).double(), Randomness(1, torch.arange(count)))
    for share in (0.5, 0.8, 0.95):
        expected = share**dimension
        frequency = float((norm.size(samples) <= share * radius).double().mean())
        assert frequency == pytest.approx(
            expected, abs=4 * math.sqrt(expected * (1 - expected) / count) + 1e-3
        )
    assert (samples > 0).double().mean() == pytest.approx(0.5, abs=0.02)  # either sign
    # and no entry is preferred
    assert samples.abs().mean(dim=0).flatten().tolist() == pytest.approx(
        [float(samples.abs().mean())] * dimension, rel=0.03
    )


@every
def test_each_image_has_its_own_radius(norm):
    delta = 2 * torch.ones(3, 1, 1, 2, dtype=torch.float64)
    radii = torch.tensor([0.0, 1.0, 100.0], dtype=torch.float64)
    projection = norm.project(delta, radii)
    assert norm.size(projection).tolist() == pytest.approx([0.0, 1.0, float(norm.size(delta)[2])])
    assert torch.equal(projection[2], delta[2])
    like = torch.empty(3, 1, 1, 2, dtype=torch.float64)
    samples = norm.sample(like, radii, Randomness(0, torch.arange(3)))
    assert norm.size(samples)[0] == 0
    assert norm.size(samples)[1] <= 1
    assert norm.size(samples)[2] > 1


def test_the_l1_threshold_by_hand():
    # Shrinking (3, 1) by 1.5 leaves (1.5, 0): 1.5 in all. With caps (1, 1): 3 is cut to 1, and of 1 the half.
    delta, radius = torch.tensor([[[[3.0, -1.0]]]]), torch.tensor([1.5])
    assert torch.allclose(L1.project(delta, radius), torch.tensor([[[[1.5, 0.0]]]]))
    ones = torch.ones_like(delta)
    assert torch.allclose(L1.project_boxed(delta, radius, -ones, ones), torch.tensor([[[[1.0, -0.5]]]]))
    assert torch.allclose(L1.project_boxed(delta, radius, -0 * ones, ones), torch.tensor([[[[1.0, 0.0]]]]))
    nothing = L1.project_boxed(delta, torch.tensor([0.0]), -ones, ones)
    assert torch.equal(nothing.abs(), torch.zeros_like(delta))


def test_an_l1_projection_keeps_what_is_inside_bit_for_bit_and_the_type():
    delta = torch.tensor([[[[0.1, -0.2, 0.7]]]])
    projection = L1.project(delta, torch.tensor([1.0]))
    assert torch.equal(projection, delta)
    assert projection.dtype == torch.float32
    assert torch.equal(torch.signbit(L1.project(torch.tensor([[[[-0.0, 0.0]]]]), torch.tensor([1.0]))),
                       torch.tensor([[[[True, False]]]]))  # fmt: skip


@every
def test_ascent_of_one_entry_is_its_sign(norm):
    gradient = torch.tensor([[[[-3e-20]]], [[[5e10]]], [[[0.0]]]])
    assert norm.ascent(gradient).flatten().tolist() == [-1.0, 1.0, 0.0]
