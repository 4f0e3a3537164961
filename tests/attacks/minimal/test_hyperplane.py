"""The step to a hyperplane in a box, against linear and quadratic programs and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.minimal.hyperplane import step_to_hyperplane
from robench.attack.norms import L1, L2, LINF

norms = pytest.mark.parametrize("norm", [LINF, L2, L1], ids=lambda n: n.name)
seeds = st.integers(0, 2**31 - 1)


def problem(seed, count=6, dimension=5):
    """Points, slopes with zeros and of all scales, and rises of both signs; some out of the box's reach."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 1, dimension, generator=generator, dtype=torch.float64)
    slope = torch.randn(count, 1, 1, dimension, generator=generator, dtype=torch.float64)
    slope[0, ..., 0], x[1, ..., 0], x[2, ..., 0] = 0, 0, 1
    slope[3] *= 1e-6
    rise = torch.randn(count, generator=generator, dtype=torch.float64) * slope.abs().flatten(1).sum(1) / 2
    rise[4] = 0
    return x, slope, rise


def most(x, slope, rise):
    """The largest change of the linear function in the direction of the rise that the box allows, (B,)."""
    up = torch.where(slope * rise.sign().view(-1, 1, 1, 1) > 0, 1 - x, x)
    return (slope.abs() * up).flatten(1).sum(dim=1)


@norms
@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_it_reaches_the_hyperplane_or_comes_as_near_as_the_box_allows(norm, seed):
    x, slope, rise = problem(seed)
    step = step_to_hyperplane(x, slope, rise, norm=norm, bounds=(0.0, 1.0))
    gain = (slope * step).flatten(1).sum(dim=1)
    reach = torch.minimum(rise.abs(), most(x, slope, rise))
    assert torch.allclose(gain, rise.sign() * reach, rtol=1e-9, atol=1e-15)
    assert ((x + step >= -1e-12) & (x + step <= 1 + 1e-12)).all()
    assert (step[slope == 0] == 0).all()


@norms
@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_it_is_the_smallest_step_that_does(norm, seed):
    from scipy.optimize import linprog, minimize

    x, slope, rise = problem(seed)
    step = step_to_hyperplane(x, slope, rise, norm=norm, bounds=(0.0, 1.0))
    for i in (rise.abs() < 0.999 * most(x, slope, rise)).nonzero().flatten().tolist():
        w, at, c = (slope[i] / slope[i].abs().max()).flatten().numpy(), x[i].flatten().numpy(), float(rise[i])
        c, n = c / float(slope[i].abs().max()), len(w)
        if norm is L2:
            solution = minimize(
                lambda d: d @ d, x0=step[i].flatten().numpy() * 0, jac=lambda d: 2 * d, method="SLSQP",
                bounds=list(zip(-at, 1 - at, strict=True)), options={"ftol": 1e-15, "maxiter": 500},
                constraints={"type": "eq", "fun": lambda d, w=w, c=c: w @ d - c, "jac": lambda d, w=w: w},
            )  # fmt: skip
            smallest = solution.fun**0.5
        else:  # d = p - q; the cost is their sum, or a bound t on every entry
            many = norm is L1
            cost = [1.0] * (2 * n) + [0.0] if many else [0.0] * (2 * n) + [1.0]
            above = [[*(float(k in (j, j + n)) for k in range(2 * n)), -1.0] for j in range(n)]
            solution = linprog(
                cost, A_eq=[[*w, *-w, 0.0]], b_eq=[c],
                A_ub=None if many else above, b_ub=None if many else [0.0] * n,
                bounds=[*((0, 1 - v) for v in at), *((0, v) for v in at), (0, None)],
            )  # fmt: skip
            smallest = solution.fun
        assert float(norm.size(step)[i]) == pytest.approx(smallest, rel=1e-4, abs=1e-7)


def test_by_hand():
    x, slope = torch.tensor([[[[0.5, 0.9, 0.5]]]]), torch.tensor([[[[1.0, 2.0, -1.0]]]])
    rise = torch.tensor([0.6])
    steps = {n.name: step_to_hyperplane(x, slope, rise, norm=n, bounds=(0.0, 1.0)) for n in (LINF, L2, L1)}
    # The second pixel has room for 0.1 only, worth 0.2; the others share the rest, or the first takes it.
    assert torch.allclose(steps["Linf"], torch.tensor([0.2, 0.1, -0.2]).view(1, 1, 1, 3))
    assert torch.allclose(steps["L2"], torch.tensor([0.2, 0.1, -0.2]).view(1, 1, 1, 3))
    assert torch.allclose(steps["L1"], torch.tensor([0.4, 0.1, 0.0]).view(1, 1, 1, 3))


@norms
def test_degenerate_slopes_and_empty_batches(norm):
    x = torch.full((3, 1, 2, 2), 0.5)
    slope = torch.zeros_like(x)
    slope[1] = 1e-38
    slope[2, 0, 0] = torch.tensor([1e30, 1e-30])
    step = step_to_hyperplane(x, slope, torch.tensor([1.0, 1e-38, 1e29]), norm=norm, bounds=(0.0, 1.0))
    assert torch.equal(step[0], torch.zeros(1, 2, 2))
    assert torch.isfinite(step).all()
    assert float((slope[1].double() * step[1].double()).sum()) == pytest.approx(1e-38, rel=1e-3)
    assert float(step[2, 0, 0, 0]) == pytest.approx(0.1)
    assert step_to_hyperplane(x[:0], slope[:0], x.new_empty(0), norm=norm, bounds=(0.0, 1.0)).shape[0] == 0
