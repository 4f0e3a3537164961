"""A WNLL head over a bounded network: certificates that no attack on it breaks, and what is refused."""

import pytest
import torch
from torch import nn

from model_zoo.heads.wnll import WNLL
from model_zoo.network import Network
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.bounds import certified_outcomes
from robench.bounds.certifier import Certifier
from robench.bounds.methods import certifier_of
from robench.bounds.search import Verdict
from robench.data.images import image_set
from robench.errors import ConfigError
from robench.judge.verdict import classify
from robench.plan.bounds import CROWN, IBP, BranchAndBound


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 6))
        self.feature_dim = 6

    def forward(self, x):
        return self.layers(x)


def training(count=90, seed=0):
    """Images whose class is the brightest of three stripes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = 0.3 * torch.rand(count, 1, 3, 3, generator=generator)
    images[torch.arange(count), 0, labels] += 0.5
    return image_set(images.clamp(0, 1), labels, name="stripes", split="train", classes=3)


def model_of(**options):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Network(Backbone(), classes=3).eval()
    head = WNLL(**{"m": 8, "n": 4, "template": 60, **options})
    return head(
        network, name="stripes-wnll", classes=3, training_data=training, seed=0, device="cpu", details={}
    )


def outcomes_of(model, eps, method=None, count=20):
    x, y = training(count, seed=5).batch(slice(None))
    threat, method = ThreatModel(norm=LINF, eps=eps), method or CROWN()
    certifier = certifier_of(model, threat, (1, 3, 3), method)
    return x, y, certified_outcomes(certifier, x, y, method)


@pytest.mark.thorough
@pytest.mark.parametrize("options", [{}, {"protocol": "voting", "votes": 3, "template": 30}])
def test_certified_images_stand_against_points_of_the_ball(options):
    model = model_of(**options)
    x, y, outcomes = outcomes_of(model, 0.03)
    proofs = torch.tensor([one.verdict is Verdict.CERTIFIED for one in outcomes])
    assert int(proofs.sum()) > 10
    noise = torch.rand(60, *x.shape, generator=torch.Generator().manual_seed(2)) * 2 - 1
    for points in (x + 0.03 * noise, x + 0.03 * noise.sign()):
        answers = classify(model, points.clamp(0, 1).flatten(0, 1), batch_size=250).view(60, -1)
        assert bool((answers == y).all(dim=0)[proofs].all())


@pytest.mark.thorough
def test_crown_is_at_least_as_tight_as_intervals_and_nothing_is_certified_of_the_whole_box():
    model = model_of()
    counts = [
        sum(one.verdict is Verdict.CERTIFIED for one in outcomes_of(model, 0.06, method)[2])
        for method in (IBP(), CROWN())
    ]
    assert counts[0] <= counts[1]
    assert all(one.verdict is not Verdict.CERTIFIED for one in outcomes_of(model, 1.0)[2])


def test_at_radius_zero_the_bound_is_the_answer():
    model = model_of()
    x, y, outcomes = outcomes_of(model, 0.0)
    with torch.no_grad():
        u = model.net(x).double()
    margin = u.gather(1, y[:, None]).squeeze(1) - u.scatter(1, y[:, None], -1.0).amax(dim=1)
    bound = torch.tensor([one.bound for one in outcomes], dtype=torch.float64)
    assert bool((bound <= margin + 1e-4).all())
    assert float((margin - bound).max()) < 0.02


def test_what_has_no_bounds_is_refused():
    threat = ThreatModel(norm=LINF, eps=0.1)
    with pytest.raises(ConfigError, match="independent"):
        certifier_of(model_of(protocol="joint"), threat, (1, 3, 3), CROWN())
    with pytest.raises(ConfigError, match="branch_and_bound"):
        certifier_of(model_of(), threat, (1, 3, 3), BranchAndBound())
    with pytest.raises(ConfigError):
        Certifier(model_of(), threat, (1, 3, 3))
