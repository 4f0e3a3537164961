"""Branch and bound against networks whose smallest margin over a ball is known in closed form."""

from operator import itemgetter
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robench.attack.threat import ThreatModel
from robench.bounds import Budget, Certifier, Verdict, branch_and_bound
from robench.bounds.decision import ANSWERS, Descent
from robench.bounds.passes import Passes
from robench.randomness import Randomness

WEIGHTS = torch.tensor([0.4, -0.2, 0.1, 0.3])
X = torch.full((1, 1, 2, 2), 0.5)
MARGIN = float(WEIGHTS.sum() * 0.5)
"""At the image: w x = 0.3. Over a ball of radius r it is at least MARGIN - r |w|_1, and |w|_1 = 1."""
RADIUS = MARGIN
"""Where the least margin is zero; larger balls than this are still inside of the box."""


def linear():
    """Logits (w x, 0)."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([WEIGHTS, torch.zeros(4)]))
        net[1].bias.zero_()
    return net.eval()


def tent():
    """Logits (0.3 - |p - q|, 0) of two pixels, by two rectifiers: class 0 until they are 0.3 apart."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        net[3].weight.copy_(torch.tensor([[-1.0, -1.0], [0.0, 0.0]]))
        net[3].bias.copy_(torch.tensor([0.3, 0.0]))
    return net.eval()


def decided(net, x, eps, *, label=0, **budget):
    threat = ThreatModel(eps=eps, tolerance=0.0)
    (outcome,) = branch_and_bound(net, x, torch.tensor([label]), threat, budget=Budget(**budget))
    return outcome


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_linear_model_is_certified_below_its_radius(share):
    outcome = decided(linear(), X, share * RADIUS)
    assert (outcome.verdict, outcome.x_adv) == (Verdict.CERTIFIED, None)
    assert outcome.bound == pytest.approx((1 - share) * MARGIN, abs=1e-6)
    assert outcome.bound <= (1 - share) * MARGIN + 1e-7


@pytest.mark.parametrize("share", [1.01, 1.5])
def test_a_linear_model_is_broken_above_its_radius(share):
    net, eps = linear(), share * RADIUS
    outcome = decided(net, X, eps)
    assert outcome.verdict is Verdict.BROKEN
    assert int(net(outcome.x_adv[None]).argmax()) == 1
    assert float((outcome.x_adv - X[0]).abs().max()) <= eps + 1e-6
    assert outcome.bound == pytest.approx((1 - share) * MARGIN, abs=1e-6)


@pytest.mark.parametrize(("eps", "verdict"), [(0.149, Verdict.CERTIFIED), (0.151, Verdict.BROKEN)])
def test_two_rectifiers_are_decided_at_their_radius(eps, verdict):
    """Two equal pixels move apart by 2 eps: the margin is 0.3 - 2 eps, of one ReLU at a time."""
    x = torch.full((1, 1, 1, 2), 0.5)
    outcome = decided(tent(), x, eps)
    assert outcome.verdict is verdict
    assert outcome.bound <= 0.3 - 2 * eps + 1e-6
    if verdict is Verdict.CERTIFIED:
        assert outcome.bound > 0
    else:
        assert float((outcome.x_adv[..., 0] - outcome.x_adv[..., 1]).abs()) > 0.3


def test_an_image_the_model_gets_wrong_is_its_own_adversarial_image():
    outcome = decided(linear(), X, 0.1, label=1)
    assert (outcome.verdict, outcome.domains, outcome.forwards) == (Verdict.BROKEN, 1, ANSWERS)
    assert torch.equal(outcome.x_adv, X[0])
    assert outcome.bound == pytest.approx(-MARGIN - 0.1, abs=1e-6)


def test_progress_is_reported_image_by_image_and_the_place_in_the_batch_does_not_matter():
    x = torch.tensor([[0.5, 0.5], [0.5, 0.55], [0.4, 0.45]]).view(3, 1, 1, 2)
    reports = []
    threat, budget, zero = ThreatModel(eps=0.13, tolerance=0.0), Budget(domains=50), torch.zeros(3).long()
    outcomes = branch_and_bound(
        tent(), x, zero, threat, budget=budget, progress=lambda *report: reports.append(report)
    )
    assert reports == list(enumerate(outcomes))
    alone, third = decided(tent(), x[2:], 0.13, domains=50), outcomes[2]
    assert alone.forwards > ANSWERS  # starts were drawn
    assert (alone.verdict, alone.bound, alone.forwards) == (third.verdict, third.bound, third.forwards)
    assert torch.equal(alone.x_adv, third.x_adv)


def descent(net, x, *, eps=0.2, **budget):
    threat = ThreatModel(eps=eps, tolerance=0.0)
    certifier = Certifier.of(net, threat, x)
    rng = Randomness(0, torch.arange(0), ("branch and bound", 0))
    return Descent(certifier, x, torch.tensor([0]), Budget(**budget), rng, Passes())


def test_a_descent_that_finds_nothing_ends_at_the_corner_of_the_ball():
    """Each step has the length of the ball and less; the least point of a linear margin is a corner."""
    search = descent(linear(), X)
    assert search.anywhere(3, 20) is None
    assert torch.allclose(search.closest, X[0] - 0.2 * WEIGHTS.sign().view(1, 2, 2), atol=1e-6)
    assert search.least == pytest.approx(MARGIN - 0.2, abs=1e-5)
    assert (search.passes.forwards, search.passes.backwards) == (3 * 21, 3 * 21)
    assert search.anywhere(0, 20) is None
    assert search.passes.forwards == 3 * 21


def test_of_all_points_on_its_way_the_least_is_remembered():
    """Steps jump over the bottom of a V of margins: the last point of an ascent is rarely its best."""
    search = descent(linear(), X)
    visits = []

    def margins(points):
        value = 0.1 + (points - 0.45).abs().flatten(1)[:, 0]
        visits.extend(zip(value.tolist(), points.detach(), strict=True))
        return torch.stack([value, torch.zeros_like(value)], dim=1)

    search.certifier = SimpleNamespace(
        rough=margins, reach=search.certifier.reach, threat=search.certifier.threat, right=None
    )
    assert search.anywhere(4, 6) is None
    least, point = min(visits, key=itemgetter(0))
    assert len(visits) == 4 * 7
    assert (search.least, search.closest.tolist()) == (least, point.tolist())
    assert least < min(value for value, _ in visits[-4:])


def test_points_to_polish_are_kept_only_where_they_will_be_polished():
    without, polishing = descent(linear(), X), descent(linear(), X, polish=2)
    for search in (without, polishing):
        search.anywhere(5, 2)
    assert without.pool == []
    margins = [margin for margin, _ in polishing.pool]
    assert len(margins) == 3
    assert margins == sorted(margins)
    assert margins[0] == polishing.least


def test_what_is_closest_is_the_image_itself_where_no_gradient_was_used():
    outcome = descent(linear(), X).outcome(Verdict.CERTIFIED, 0.1, 0.0)
    assert torch.equal(outcome.closest, X[0])
    assert outcome.bound == 0.1
