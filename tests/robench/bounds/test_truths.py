"""Bounds against exact minima: never above, and equal where they must be."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from robench.attack.norms import L1, L2, LINF, NORMS
from robench.attack.threat import ThreatModel
from robench.bounds import Budget, Verdict, branch_and_bound, lower_bounds
from robench.bounds.branching import Splitter
from robench.bounds.certifier import Certifier
from robench.bounds.network import Effort, margin_rows
from robench.bounds.search import Search
from tests.robench.bounds import networks, truths

METHODS = ("ibp", "crown", "alpha_crown")
ROUNDING = 1e-6  # HiGHS keeps its constraints no better


def images(count, *shape, seed=0):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def exactly(norm, eps):
    return ThreatModel(norm=norm, eps=eps, tolerance=0.0)


def boxed(x, eps):
    return (x.double() - eps).clamp(0, 1), (x.double() + eps).clamp(0, 1)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_plain_bounds_are_exact_on_linear_networks(norm):
    net = networks.dense([6, 4], seed=1)
    x, y = images(5, 1, 2, 3), torch.tensor([0, 1, 2, 3, 0])
    weight, bias = net[1].weight.double(), net[1].bias.double()
    bounds = lower_bounds(net, x, y, exactly(NORMS[norm], 0.3))
    for image, label, bound in zip(x, y.tolist(), bounds.tolist(), strict=True):
        centre = image.flatten().double().numpy()
        best = []
        for row in truths.margins_of(4, label):
            a, c = row @ weight.detach().numpy(), row @ bias.detach().numpy()
            best.append(least_in_ball_and_box(a, centre, 0.3, norm) + c)
        assert bound == pytest.approx(min(best), abs=2e-6)
        assert bound <= min(best) + 1e-7


def least_in_ball_and_box(a, centre, eps, norm):
    """Least a.x over ball and box, by a solver that knows neither duals nor sorting."""
    if norm == "Linf":
        return float(np.where(a > 0, np.clip(centre - eps, 0, 1), np.clip(centre + eps, 0, 1)) @ a)
    n = len(a)
    if norm == "L1":
        eye = np.eye(n)
        table = np.block([[eye, -eye], [-eye, -eye], [np.zeros((1, n)), np.ones((1, n))]])
        limit = np.concatenate([centre, -centre, [eps]])
        solution = linprog(
            np.concatenate([a, np.zeros(n)]), A_ub=table, b_ub=limit, bounds=[(0, 1)] * n + [(0, None)] * n
        )
        return float(solution.fun)
    ball = {
        "type": "ineq",
        "fun": lambda v: eps**2 - ((v - centre) ** 2).sum(),
        "jac": lambda v: -2 * (v - centre),
    }
    solution = minimize(lambda v: v @ a, centre, jac=lambda v: a, bounds=[(0, 1)] * n, constraints=[ball],
                    method="SLSQP", options={"ftol": 1e-12, "maxiter": 300})  # fmt: skip
    return float(solution.fun)


@pytest.mark.parametrize("seed", range(6))
def test_one_hidden_layer_linf_is_decided_as_enumeration_says(seed):
    decided_as_enumerated(LINF, seed, radius=None)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
def test_one_hidden_layer_l1_is_decided_as_enumeration_says(seed):
    decided_as_enumerated(L1, seed, radius=0.5)


def decided_as_enumerated(norm, seed, radius):
    net = networks.dense([5, 5, 3], seed)
    x = images(1, 1, 1, 5, seed=seed)
    y = net(x).argmax(1)
    eps = 0.2 if radius is None else radius
    low, high = boxed(x[0], eps)
    truth = min(
        truths.enumerated_minimum(net, x[0], low, high, row, radius) for row in truths.margins_of(3, int(y))
    )
    for method in METHODS:
        assert float(lower_bounds(net, x, y, exactly(norm, eps), method=method)) <= truth + ROUNDING
    (outcome,) = branch_and_bound(net, x, y, exactly(norm, eps), budget=Budget(seconds=None, attacked=4))
    assert abs(truth) > 1e-3, "the seed must not put the truth on the edge"
    assert outcome.verdict is (Verdict.CERTIFIED if truth > 0 else Verdict.BROKEN)
    assert outcome.bound <= truth + ROUNDING


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
def test_split_to_the_end_the_bound_is_the_exact_minimum(seed):
    net = networks.dense([4, 5, 4, 3], seed)
    x = images(1, 1, 1, 4, seed=seed)
    y = net(x).argmax(1)
    low, high = boxed(x[0], 0.25)
    truth = min(truths.milp_minimum(net, x[0], low, high, row) for row in truths.margins_of(3, int(y)))
    certifier = Certifier.of(net, exactly(LINF, 0.25), x)
    bounds = certifier.bounded(x, Effort())
    rivals = torch.tensor([k for k in range(3) if k != int(y)])
    functions = margin_rows(3, y, torch.zeros(2, dtype=torch.long), rivals, torch.float64).a
    budget = Budget(seconds=None, attacked=0, restarts=0, batch=8)
    outcome = Search(Splitter.of(bounds), lambda points, until: None, budget, above=truth + 100).run(
        functions
    )
    assert outcome.bound <= truth + ROUNDING
    assert outcome.bound == pytest.approx(truth, abs=0.02 * max(1.0, abs(truth)))


def below_the_minimum(seed):
    generator = np.random.default_rng(seed)
    inputs, depth = int(generator.integers(2, 6)), int(generator.integers(1, 4))
    widths = [inputs, *generator.integers(2, 7, size=depth).tolist(), int(generator.integers(2, 4))]
    net = networks.dense(widths, seed)
    x = images(1, 1, 1, inputs, seed=seed)
    y = net(x).argmax(1)
    eps = float(generator.uniform(0.02, 0.6))
    low, high = boxed(x[0], eps)
    rows = truths.margins_of(widths[-1], int(y))
    truth = min(truths.milp_minimum(net, x[0], low, high, row) for row in rows)
    bounds = [float(lower_bounds(net, x, y, exactly(LINF, eps), method=method)) for method in METHODS]
    for loose, tight in pairwise(bounds):
        assert tight >= loose - 1e-12, "each is at least as tight as the one before, up to the last digits"
    assert bounds[-1] <= truth + ROUNDING
    (outcome,) = branch_and_bound(
        net, x, y, exactly(LINF, eps), budget=Budget(seconds=None, domains=400, attacked=2)
    )
    assert outcome.bound <= truth + ROUNDING
    if abs(truth) > 1e-3:
        assert outcome.verdict is not (Verdict.BROKEN if truth > 0 else Verdict.CERTIFIED)
    return outcome.verdict


@pytest.mark.thorough
def test_never_above_the_exact_minimum():
    verdicts = [below_the_minimum(seed) for seed in range(25)]
    assert verdicts.count(Verdict.CERTIFIED) > 3
    assert verdicts.count(Verdict.BROKEN) > 3
    assert verdicts.count(Verdict.UNDECIDED) < 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_never_above_the_exact_minimum_on_500_networks():
    verdicts = [below_the_minimum(1000 + seed) for seed in range(500)]
    assert verdicts.count(Verdict.UNDECIDED) < 25


@pytest.mark.thorough
def test_a_convolution_network_is_never_above_the_exact_minimum():
    for seed in range(3):
        net = networks.drawn(networks.gallery()["strided"], seed)
        x = images(1, 2, 6, 6, seed=seed)
        y = net(x).argmax(1)
        low, high = boxed(x[0], 0.05)
        rows = truths.margins_of(3, int(y))
        truth = min(truths.milp_minimum(net, x[0], low, high, row) for row in rows)
        for method in METHODS:
            assert float(lower_bounds(net, x, y, exactly(LINF, 0.05), method=method)) <= truth + ROUNDING
        (outcome,) = branch_and_bound(net, x, y, exactly(LINF, 0.05), budget=Budget(seconds=None))
        assert outcome.verdict is (Verdict.CERTIFIED if truth > 0 else Verdict.BROKEN)


@pytest.mark.thorough
def test_l2_is_never_above_what_a_solver_finds():
    for seed in range(6):
        net = networks.dense([5, 4, 3], seed)
        x = images(1, 1, 1, 5, seed=seed)
        y = net(x).argmax(1)
        (bound,) = lower_bounds(net, x, y, exactly(L2, 0.4), method="alpha_crown").tolist()
        (outcome,) = branch_and_bound(net, x, y, exactly(L2, 0.4), budget=Budget(seconds=None, domains=500))
        noise = torch.randn(4000, 1, 1, 5, generator=torch.Generator().manual_seed(seed))
        points = exactly(L2, 0.4).project(x.expand(4000, *x.shape[1:]), x + 0.4 * noise)
        logits = net(points).detach().double()
        others = logits.scatter(1, y.expand(4000, 1), -torch.inf).amax(1)
        minimum = float((logits[:, y.item()] - others).min())
        assert bound <= minimum
        assert outcome.bound <= minimum
        assert not (outcome.verdict is Verdict.CERTIFIED and minimum <= 0)
