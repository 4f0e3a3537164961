"""Graph and network are compared on each image and near it, whoever stands beside it."""

import pytest
import torch
from torch import nn

from robench.attack.norms import NORMS
from robench.attack.threat import ThreatModel
from robench.bounds import Budget, Certifier, Verdict, branch_and_bound, lower_bounds
from robench.bounds.network import Effort
from robench.errors import ConfigError
from tests.robench.bounds import networks

BUDGET = Budget(seconds=None, domains=30, attacked=2, restarts=4, polish=2)


def images(count, seed=0):
    return torch.rand(count, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


class Hidden(nn.Module):
    """Computes one thing while it is read, and another on images that are bright somewhere."""

    def __init__(self, limit):
        super().__init__()
        self.fc, self.limit = nn.Linear(72, 3), limit

    def forward(self, x):
        z = self.fc(x.flatten(1))
        if isinstance(x, torch.Tensor):
            z = z + (x.flatten(1).amax(1, keepdim=True) > self.limit)
        return z


def test_what_shows_only_near_an_image_is_refused():
    x = images(2).clamp(0.1, 0.5)
    net = Hidden(limit=0.52).eval()
    assert torch.equal(net(x), net.fc(x.flatten(1))), "nothing shows on the images themselves"
    with pytest.raises(ConfigError, match="computes what its layers say"):
        lower_bounds(net, x, torch.tensor([0, 1]), ThreatModel(eps=0.1))


def test_what_shows_on_one_image_of_many_is_refused():
    x = images(100).clamp(0.1, 0.5)
    x[99, 0, 0, 0] = 0.9
    with pytest.raises(ConfigError, match="computes what its layers say"):
        lower_bounds(Hidden(limit=0.8).eval(), x, torch.zeros(100, dtype=torch.long), ThreatModel(eps=0.01))


def test_a_small_score_beside_large_ones_is_still_compared():
    net = networks.drawn(networks.gallery()["dense"], seed=1)
    certifier = Certifier.of(net, ThreatModel(eps=0.01), images(1))
    assert certifier.exact.output
    x = images(3)
    x[0] *= 1e-3
    with torch.no_grad():
        net[1].bias.mul_(1.02)
    with pytest.raises(ConfigError, match="computes what its layers say"):
        certifier.checked(x, torch.tensor([0, 0, 0]))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "norm"),
    [("dense", "Linf"), ("strided", "Linf"), ("residual", "Linf"), ("maximum", "L2"), ("dense", "L1")],
)
def test_what_is_said_of_an_image_does_not_depend_on_its_company_or_place(norm, name):
    net = networks.drawn(networks.gallery()[name], seed=3)
    x = torch.cat([images(4), 0.01 * images(2, seed=1), images(2, seed=2).clamp(0, 0.3)])
    y = net(x).argmax(1)
    y[3] = (y[3] + 1) % 3  # one that is wrong as it is
    threat = ThreatModel(norm=NORMS[norm], eps={"Linf": 0.04, "L2": 0.3, "L1": 1.0}[norm])
    certifier = Certifier.of(net, threat, x)
    slack = certifier.slack(x)
    bounds = lower_bounds(net, x, y, threat)
    outcomes = branch_and_bound(net, x, y, threat, budget=BUDGET, seed=7)
    order = torch.tensor([4, 7, 0, 3])
    assert torch.equal(certifier.slack(x[order]), slack[order])
    assert torch.allclose(lower_bounds(net, x[order], y[order], threat), bounds[order], rtol=0, atol=1e-12)
    permutation = branch_and_bound(net, x[order], y[order], threat, budget=BUDGET, seed=7)
    alone = [
        branch_and_bound(net, x[i : i + 1], y[i : i + 1], threat, budget=BUDGET, seed=7)[0] for i in order
    ]
    for number, one, other in zip(order.tolist(), permutation, alone, strict=True):
        for again in (one, other):
            first = outcomes[number]
            assert (again.verdict, again.bound, again.domains) == (first.verdict, first.bound, first.domains)
            assert (again.x_adv is None) == (first.x_adv is None)
            assert first.x_adv is None or torch.equal(again.x_adv, first.x_adv)


@pytest.mark.thorough
def test_an_image_with_large_rounding_does_not_cost_another_its_certificate():
    """The margin of the first image lies between its own slack and that of its company."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)).eval()
    net.requires_grad_(False)
    x = torch.rand(32, 1, 8, 8) * 0.01
    x[1:] *= 99
    threat = ThreatModel(eps=1e-9, tolerance=0.0)
    certifier = Certifier.of(net, threat, x)
    own, most = float(certifier.slack(x)[0]), float(certifier.slack(x).max())
    assert most > 3 * own
    scores = certifier.exact(x[:1].double())[0]
    first, second = scores.topk(2).indices.tolist()
    net[3].bias[first] -= float(scores[first] - scores[second]) - (own + most) / 2
    y = net(x).argmax(1)
    (alone,) = branch_and_bound(net, x[:1], y[:1], threat, budget=BUDGET)
    beside = branch_and_bound(net, x, y, threat, budget=BUDGET)[0]
    assert alone.verdict is beside.verdict is Verdict.CERTIFIED
    assert alone.bound == beside.bound


@pytest.mark.thorough
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("name", ["linear", "dense", "maximum", "log-probabilities"])
def test_the_bound_of_an_image_that_is_wrong_is_one(norm, name):
    net = networks.drawn(networks.gallery()[name], seed=5)
    x = images(4)
    outputs = net(x)
    y = outputs.argmin(1)
    threat = ThreatModel(norm=NORMS[norm], eps={"Linf": 0.05, "L2": 0.3, "L1": 1.0}[norm])
    certifier, bounds = Certifier.of(net, threat, x), lower_bounds(net, x, y, threat)
    generator = torch.Generator().manual_seed(1)
    for number, outcome in enumerate(branch_and_bound(net, x, y, threat)):
        assert outcome.verdict is Verdict.BROKEN
        assert torch.equal(outcome.x_adv, x[number])
        one = x[number : number + 1].expand(300, 2, 6, 6)
        points = threat.project(one, one + 5 * threat.eps * torch.randn(one.shape, generator=generator))
        scores = certifier.exact(points.double())
        others = scores.scatter(1, y[number].expand(300, 1), -torch.inf).amax(1)
        assert outcome.bound <= float((scores[:, y[number]] - others).min())
        assert outcome.bound >= float(bounds[number]) - 1e-12


@pytest.mark.thorough
def test_numbers_that_overflow_certify_nothing():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), *[layer for _ in range(12) for layer in (nn.Linear(4, 4), nn.ReLU())])
    net.append(nn.Linear(4, 2))
    for part in net:
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=1e30)
    x, y, threat = torch.rand(1, 1, 2, 2), torch.tensor([0]), ThreatModel(eps=0.1)
    with pytest.raises(ConfigError, match="finite"):
        lower_bounds(net, x, y, threat)
    certifier = Certifier.of(net, threat, x)
    for ways in (Effort(), Effort(crown=False), Effort(inner_steps=2, outer_steps=2)):
        bounds = certifier.bounded(x, ways)
        assert any(bool(high.isinf().any()) for _, high in bounds.intervals)
        for low, high in bounds.intervals:
            assert bool((low <= high).all()), "nothing that is no number"
        assert float(certifier.margins(x, y, ways).min()) == -torch.inf
