"""Our strong attacks against the authors' code and its port, on a small trained network."""

import importlib.util
import warnings

import pytest
import torch
from torch import nn

from attacks.ensemble.autoattack import AutoAttack
from attacks.gradient.apgd import APGD, APGDTargeted
from attacks.minimal.fab import FAB, FABTargeted
from attacks.minimal.hyperplane import step_to_hyperplane
from attacks.query import square_windows
from attacks.query.square import Square
from robench.attack.norms import L1, NORMS
from robench.model.interface import Model
from tests.truths import attacked, broken, images

EPS = {"Linf": 0.08, "L2": 0.6, "L1": 2.0}
"""Radii that break about half of the digits."""
SEEDS = (0, 1, 2)

port = pytest.mark.skipif(importlib.util.find_spec("torchattacks") is None, reason="no torchattacks")
authors = pytest.mark.skipif(importlib.util.find_spec("pyautoattack") is None, reason="no pyautoattack")


@pytest.fixture(scope="module")
def digits():
    """A small convolutional net trained on scikit-learn's digits, and 100 it gets right."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.from_numpy(bunch.images).float()[:, None] / 16
    y = torch.from_numpy(bunch.target).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 16, 10),
        )  # fmt: skip
        optimiser = torch.optim.Adam(net.parameters(), lr=6e-3)
        for _ in range(5):
            for rows in torch.randperm(1200).split(100):
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
                optimiser.step()
    net.eval().requires_grad_(False)
    right = (net(x[1200:]).argmax(1) == y[1200:]).nonzero().squeeze(1)[:100] + 1200
    assert len(right) == 100
    return Model(name="digits", net=net, classes=10), x[right], y[right]


def ours(attack, digits, norm):
    """How many images each seed leaves standing."""
    model, x, y = digits
    standing = []
    for seed in SEEDS:
        x_adv, oracle, _ = attacked(
            attack, model, x, y, norm=NORMS[norm], eps=EPS[norm], seed=seed, drop=True
        )
        standing.append(int((~broken(model, x_adv, y, x, oracle.threat)).sum()))
    return standing


def theirs(make, digits, norm):
    """The same of an attack of theirs: `make` takes the net and a seed, and gives images from (x, y)."""
    model, x, y = digits
    standing = []
    for seed in SEEDS:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            x_adv = make(model.net, seed)(x.clone(), y.clone())
        near = NORMS[norm].size(x_adv - x) <= EPS[norm] * (1 + 1e-4)
        standing.append(int((~(broken(model, x_adv, y) & near)).sum()))
    return standing


def agree(own, other, slack):
    """Means within the spread of both and a slack in images, and the case says something."""
    spread = max(own) - min(own) + max(other) - min(other)
    assert abs(sum(own) - sum(other)) / len(own) <= spread + slack, (own, other)
    assert 5 < sum(own) / len(own) < 95, own


@authors
@pytest.mark.slow
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
def test_apgd_breaks_as_many_as_the_authors(digits, norm, loss):
    from pyautoattack.autopgd_base import APGDAttack

    def make(net, seed):
        name = "ce" if loss == "cross_entropy" else "dlr"
        return APGDAttack(
            net, n_iter=40, norm=norm, eps=EPS[norm], seed=seed, loss=name, use_largereps=norm == "L1"
        ).perturb

    agree(ours(APGD(steps=40, loss=loss), digits, norm), theirs(make, digits, norm), slack=2)


@pytest.mark.thorough
@port
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_apgd_breaks_as_many_as_the_port(digits, norm):
    import torchattacks

    def make(net, seed):
        return torchattacks.APGD(net, norm=norm, eps=EPS[norm], steps=40, seed=seed)

    agree(ours(APGD(steps=40), digits, norm), theirs(make, digits, norm), slack=2)


@authors
@pytest.mark.slow
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_targeted_apgd_breaks_as_many_as_the_authors(digits, norm):
    from pyautoattack.autopgd_base import APGDAttack_targeted

    def make(net, seed):
        return APGDAttack_targeted(
            net, n_iter=30, norm=norm, eps=EPS[norm], seed=seed, use_largereps=norm == "L1"
        ).perturb

    agree(ours(APGDTargeted(steps=30), digits, norm), theirs(make, digits, norm), slack=2)


@authors
@pytest.mark.slow
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("targeted", [False, True])
def test_fab_breaks_as_many_as_the_authors(digits, norm, targeted):
    from pyautoattack.fab_pt import FABAttack_PT

    def make(net, seed):
        return FABAttack_PT(net, norm=norm, n_iter=30, eps=EPS[norm], seed=seed, targeted=targeted).perturb

    attack = FABTargeted(steps=30) if targeted else FAB(steps=30)
    agree(ours(attack, digits, norm), theirs(make, digits, norm), slack=1)


@authors
@pytest.mark.slow
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_square_breaks_as_many_as_the_authors_in_their_places_and_more_in_all(digits, norm, monkeypatch):
    """Their windows never reach the last row and column, a fourth of the places on 8 by 8 pixels."""
    from pyautoattack.square import SquareAttack

    def make(net, seed):
        return SquareAttack(
            net, norm=norm, n_queries=1000, eps=EPS[norm], seed=seed, resc_schedule=True
        ).perturb

    def their_corners(x, side, luck):
        return (luck * luck.new_tensor([x.shape[2] - side, x.shape[3] - side])).long()

    reference, free = theirs(make, digits, norm), ours(Square(queries=1000), digits, norm)
    assert sum(free) <= sum(reference)
    monkeypatch.setattr(square_windows, "corners", their_corners)
    agree(ours(Square(queries=1000), digits, norm), reference, slack=2)


@authors
@pytest.mark.slow
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_the_cascade_breaks_as_many_as_the_authors(digits, norm):
    from pyautoattack import AutoAttack as Reference

    parts = ("apgd-ce", "apgd-t", "fab-t")

    def make(net, seed):
        reference = Reference(net, norm=norm, eps=EPS[norm], seed=seed, version="custom", attacks=list(parts))
        for part in (reference.apgd, reference.apgd_targeted, reference.fab):
            part.n_iter = part.n_iter_orig = 30
            part.n_restarts = 1
        reference.apgd.use_largereps = reference.apgd_targeted.use_largereps = norm == "L1"
        reference.verbose = False
        return lambda x, y: reference.run_standard_evaluation(x, y)[0]

    agree(ours(AutoAttack(scale=0.3, attacks=parts), digits, norm), theirs(make, digits, norm), slack=1)


@authors
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_the_projections_are_the_authors(norm):
    from pyautoattack import fab_projections

    x, slope = images(50, (1, 4, 5)), images(50, (1, 4, 5), seed=1, low=-1.0)
    rise = images(50, (1, 1, 1), seed=2, low=-3.0, high=3.0).flatten()
    step = step_to_hyperplane(x, slope, rise, norm=NORMS[norm], bounds=(0.0, 1.0))
    project = getattr(fab_projections, f"projection_{norm.lower()}")
    level = (slope * x).flatten(1).sum(dim=1) + rise
    assert torch.allclose(step.flatten(1), project(x.flatten(1), slope.flatten(1), level), atol=2e-5)


@authors
def test_the_l1_projection_is_the_authors():
    from pyautoattack.autopgd_base import L1_projection

    x, far = images(40, (1, 4, 5)), images(40, (1, 4, 5), seed=1, low=-2.0, high=2.0)
    eps = torch.full((40,), 1.5)
    projection = L1.project_boxed(far, eps, -x, 1 - x)
    assert torch.allclose(projection, far + L1_projection(x, far, 1.5), atol=1e-5)
