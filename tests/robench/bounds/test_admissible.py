"""Whatever the judge admits or projects to lies in the certified region."""

import math

import pytest
import torch
from torch import nn

from robench.attack.norms import L1, L2, LINF, NORMS
from robench.attack.threat import ThreatModel
from robench.bounds import Budget, Certifier, Verdict, branch_and_bound, lower_bounds
from robench.bounds.admissible import admissible_radius, capped, diameter, outer_box, searched
from robench.bounds.region import Region
from robench.errors import ConfigError
from robench.judge.verdict import landing
from robench.randomness import Randomness

BOXES = [(0.0, 1.0), (-0.1, 0.1), (0.3, 0.7), (-1.0, 1.0), (0.0, 255.0)]


class Edge(nn.Module):
    """Scores whose margin is 0 where the only pixel is `at`, and positive below."""

    def __init__(self, at):
        super().__init__()
        self.fc = nn.Linear(1, 2)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[-1.0], [0.0]]))
            self.fc.bias.copy_(torch.tensor([at, 0.0]))

    def forward(self, x):
        return self.fc(x.flatten(1))


@pytest.mark.parametrize("high", [0.1, 0.3, 0.7, 1 / 3, 0.9])
def test_the_ends_of_the_box_are_those_of_float32(high):
    single = float(torch.tensor(high))
    threat = ThreatModel(eps=0.05, bounds=(-0.1, high))
    x, y = torch.full((1, 1, 1, 1), high - 0.02), torch.tensor([0])
    edge = torch.full((1, 1, 1, 1), high)
    assert bool(threat.admits(x, edge))
    net = Edge(single).eval()
    assert float(lower_bounds(net, x, y, threat)) <= 0
    (outcome,) = branch_and_bound(net, x, y, threat, budget=Budget(seconds=None, domains=50))
    assert outcome.verdict is not Verdict.CERTIFIED
    assert outer_box(threat)[1] == max(high, single)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
@pytest.mark.parametrize("share", [0.001, 0.03, 0.6])
def test_what_the_judge_looks_at_lies_in_the_region(norm, box, tolerance, share):
    generator = torch.Generator().manual_seed(1)
    low, high = box
    x = torch.rand(6, 3, 16, 16, generator=generator) * (high - low) + low
    x = x.clamp(*box)
    scale = {"Linf": 1.0, "L2": 8.0, "L1": 40.0}[norm] * (high - low)
    threat = ThreatModel(norm=NORMS[norm], eps=share * scale, bounds=box, tolerance=tolerance)
    region = Region.around(x, threat)
    noise = torch.randn(x.shape, generator=generator)
    candidates = [
        x + 100 * scale * noise,
        x + 100 * scale * noise * (noise.abs() > 2.5),
        x + threat.eps * noise.sign(),
        x + (threat.eps + tolerance) * noise.sign(),
        x + noise * threat.eps / threat.norm.size(noise).view(-1, 1, 1, 1),
    ]
    for x_adv in candidates:
        point = landing(x, x_adv, threat).point
        delta = point.double() - x.double()
        assert bool((threat.norm.size(delta) <= region.radius).all())
        assert bool(((point.double() >= region.low) & (point.double() <= region.high)).all())


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_what_the_search_projects_is_admitted(norm, box, tolerance):
    generator = torch.Generator().manual_seed(2)
    x = (torch.rand(6, 3, 16, 16, generator=generator) * (box[1] - box[0]) + box[0]).clamp(*box)
    for eps in (0.05, 1.3, 1e30):
        threat = ThreatModel(norm=NORMS[norm], eps=eps, bounds=box, tolerance=tolerance)
        near = searched(threat, x.shape[1:])
        points = near.project(x, x + 50 * torch.randn(x.shape, generator=generator))
        assert bool(threat.admits(x, points).all())
        assert bool(threat.admits(x, near.sample(x, Randomness(0, torch.arange(6)))).all())
        assert near.eps >= 0.98 * min(eps, diameter(threat, x.shape[1:]))


@pytest.mark.thorough
@pytest.mark.parametrize("norm", [LINF, L2, L1], ids=lambda norm: norm.name)
def test_a_radius_beyond_the_box_is_that_of_the_box(norm):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.manual_seed(3)
    for layer in net:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    x = torch.rand(2, 1, 2, 2)
    y = net(x).argmax(1)
    everything = lower_bounds(net, x, y, ThreatModel(eps=1.0))  # Linf: the whole box
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(-1, 1, 2, 2)
    for eps in (4.0, 1e6, 1e30, 1e300):
        threat = ThreatModel(norm=norm, eps=eps)
        bounds = lower_bounds(net, x, y, threat, method="alpha_crown")
        assert bool((bounds >= everything - 1e-6).all())
        assert bool(threat.admits(x[:1].expand(16, 1, 2, 2), corners).all())
        outputs = net(corners).detach().double()
        others = outputs.scatter(1, y[:1].expand(16, 1), -torch.inf).amax(1)
        assert float(bounds[0]) <= float((outputs[:, y[0]] - others).min())
        outcomes = branch_and_bound(net, x, y, threat, budget=Budget(seconds=None, domains=200))
        assert all(math.isfinite(outcome.bound) for outcome in outcomes)
    assert capped(ThreatModel(norm=norm, eps=0.25), (1, 2, 2)).eps == 0.25


def test_the_sum_of_the_judge_is_allowed_its_rounding():
    threat = ThreatModel(norm=L2, eps=10.0)
    shape = (3, 224, 224)
    assert admissible_radius(threat, shape) >= (10.0 * (1 + 1e-6) + 1e-6) * (1 + math.prod(shape) * 2.0**-53)


@pytest.mark.parametrize("box", [(-math.inf, math.inf), (0.0, math.inf), (-1e300, 1e300)])
def test_a_box_without_an_end_is_refused(box):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ConfigError, match="finite box"):
        Certifier.of(net, ThreatModel(eps=0.1, bounds=box), torch.rand(1, 1, 2, 2))
