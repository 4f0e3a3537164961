"""Descent by integer programming against exact minima."""

import os
import sys
import time

import pytest
import torch
from scipy.optimize import milp

from robench.attack.threat import ThreatModel
from robench.bounds import Budget, Certifier, Verdict, branch_and_bound
from robench.bounds.branching import layers_of
from robench.bounds.local_search import descended, pieces, solved
from robench.bounds.network import Effort
from robench.bounds.rows import Rows
from tests.robench.bounds import networks, truths


def prepared(net, x, eps):
    certifier = Certifier.of(net, ThreatModel(eps=eps, tolerance=0.0), x)
    return certifier, certifier.bounded(x, Effort())


@pytest.mark.parametrize("name", ["dense", "leaky", "maximum", "residual"])
def test_pieces_are_the_network(name):
    net = networks.drawn(networks.gallery()[name], seed=2)
    x = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    certifier, bounds = prepared(net, x, 0.05)
    layers = layers_of(bounds)
    function = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64)
    a, costs, constant = pieces(bounds, layers, certifier.exact.output, Rows(function, None))
    point = (x + 0.05 * (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) - 1)).clamp(0, 1)
    values = certifier.exact.values(point.double())
    activations = torch.cat([values[la.number].flatten(1)[:, la.lines.place] for la in layers], dim=1)
    found_value = (a * point.double().flatten(1)).sum() + (costs * activations).sum() + constant
    assert float(found_value) == pytest.approx(float((values[-1] * function).sum()), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_programme_finds_the_exact_minimum(seed, capfd):
    net = networks.dense([4, 5, 4, 3], seed)
    x = torch.rand(1, 1, 1, 4, generator=torch.Generator().manual_seed(seed))
    certifier, bounds = prepared(net, x, 0.25)
    row = truths.margins_of(3, int(net(x).argmax()))[0]
    low, high = bounds.region.low[0], bounds.region.high[0]
    truth = truths.milp_minimum(net, x[0], low, high, row)
    capfd.readouterr()
    function = torch.from_numpy(row)
    point = solved(bounds, function, 10.0)
    assert float(certifier.exact(point)[0] @ function) == pytest.approx(truth, abs=1e-5)
    start, end = x.double(), time.perf_counter() + 10
    best = descended(certifier.exact, certifier.rough, bounds.region, start, function, end)
    value, before = (float(certifier.exact(p)[0] @ function) for p in (best, start))
    assert truth - 1e-6 <= value <= before
    assert capfd.readouterr().out == "", "HiGHS is not heard"


def test_what_the_solver_writes_is_not_heard(monkeypatch, capfd):
    net = networks.dense([4, 5, 4, 3], seed=0)
    x = torch.rand(1, 1, 1, 4, generator=torch.Generator().manual_seed(0))
    _, bounds = prepared(net, x, 0.25)

    def loud(*args, **options):
        os.write(1, b"tmpSolver.run();")
        os.write(2, b"tmpSolver.run();")
        return milp(*args, **options)

    monkeypatch.setattr("robench.bounds.local_search.milp", loud)
    assert solved(bounds, torch.from_numpy(truths.margins_of(3, int(net(x).argmax()))[0]), 10.0) is not None
    sys.stdout.write("afterwards\n")
    assert capfd.readouterr() == ("afterwards\n", "")


def test_a_search_that_polishes_breaks_what_can_be_broken():
    for seed in range(3):
        net = networks.dense([6, 8, 6, 3], seed)
        x = torch.rand(1, 1, 1, 6, generator=torch.Generator().manual_seed(seed))
        y = net(x).argmax(1)
        low, high = (x[0].double() - 0.3).clamp(0, 1), (x[0].double() + 0.3).clamp(0, 1)
        truth = min(truths.milp_minimum(net, x[0], low, high, row) for row in truths.margins_of(3, int(y)))
        budget = Budget(seconds=None, polish=1, attacked=1, restarts=1)
        (outcome,) = branch_and_bound(net, x, y, ThreatModel(eps=0.3, tolerance=0.0), budget=budget)
        assert outcome.verdict is (Verdict.CERTIFIED if truth > 0 else Verdict.BROKEN)
