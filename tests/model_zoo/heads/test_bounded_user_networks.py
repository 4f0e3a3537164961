"""Graph heads over users' own networks: the bounds of the same weights as ours, which no attack breaks."""

import pytest
import torch
from torch import nn

from model_zoo.heads.neighbours import KNN, KernelDensity
from model_zoo.heads.wnll import WNLL
from model_zoo.last_layer import split_last_linear
from model_zoo.network import Network
from robench.attack.losses import cross_entropy
from robench.attack.threat import ThreatModel
from robench.bounds import certified_outcomes
from robench.bounds.layer_input import LayerInput
from robench.bounds.methods import certifier_of
from robench.bounds.search import Verdict
from robench.bounds.tracing import traced
from robench.errors import ConfigError
from robench.judge.verdict import classify
from robench.plan.bounds import CROWN, IBP
from tests.model_zoo.heads.test_bounded_wnll import Backbone, training

SHAPE = (1, 3, 3)
HEADS = [
    WNLL(m=8, n=4, template=60),
    WNLL(m=8, n=4, template=30, protocol="voting", votes=3),
    KNN(k=5, template=60),
    KernelDensity(n=5, template=60),
]


def zoo_network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Network(Backbone(), classes=3).eval()


def plain_network(network):
    """Return a user's plain layers with the weights of a network of ours."""
    return nn.Sequential(*network.backbone.layers, network.linear).eval()


def model_on(network, head):
    return head(network, name="stripes", classes=3, training_data=training, seed=0, device="cpu", details={})


def outcomes_of(model, method, eps=0.03):
    x, y = training(20, seed=5).batch(slice(None))
    certifier = certifier_of(model, ThreatModel(eps=eps), SHAPE, method)
    return x, y, certified_outcomes(certifier, x, y, method)


@pytest.mark.parametrize("method", [IBP(), CROWN()])
@pytest.mark.parametrize("head", HEADS)
def test_a_plain_network_has_the_bounds_of_the_same_weights_in_a_network_of_ours(head, method):
    network = zoo_network()
    ours, plain = (outcomes_of(model_on(net, head), method)[2] for net in (network, plain_network(network)))
    assert [one.verdict for one in plain] == [one.verdict for one in ours]
    assert any(one.verdict is Verdict.CERTIFIED for one in ours)
    bounds = torch.tensor([[one.bound for one in side] for side in (ours, plain)])
    torch.testing.assert_close(bounds[0], bounds[1], rtol=1e-6, atol=1e-9)


class Named(nn.Sequential):
    """It answers with a mapping, of which the logits are taken."""

    def forward(self, x):
        return {"logits": super().forward(x)}


def test_what_a_network_returns_beside_its_features_does_not_matter():
    plain = plain_network(zoo_network())
    bounds = [
        [one.bound for one in outcomes_of(model_on(net, HEADS[0]), CROWN())[2]]
        for net in (plain, Named(*plain).eval())
    ]
    assert bounds[0] == pytest.approx(bounds[1])


@pytest.mark.parametrize("head", HEADS)
def test_no_attacked_image_is_among_the_certified(head):
    model = model_on(plain_network(zoo_network()), head)
    x, y, outcomes = outcomes_of(model, CROWN())
    proofs = torch.tensor([one.verdict is Verdict.CERTIFIED for one in outcomes])
    assert int(proofs.sum()) > 10
    noise = torch.rand(60, *x.shape, generator=torch.Generator().manual_seed(2)) * 2 - 1
    starts = x + 0.03 * noise.sign()
    rows = [x + 0.03 * noise, starts]
    for source in model.sources.values():  # signed gradients, from every start
        candidates = starts.clamp(0, 1).flatten(0, 1).requires_grad_()
        surrogate, _ = source.surrogate(candidates)
        losses = cross_entropy(surrogate, y.repeat(60), source.output)
        (slope,) = torch.autograd.grad(losses.sum(), candidates)
        rows.append(x + 0.03 * slope.sign().view(60, *x.shape))
    for points in rows:
        answers = classify(model, points.clamp(0, 1).flatten(0, 1), batch_size=250).view(60, -1)
        assert bool((answers == y).all(dim=0)[proofs].all())


class Twice(nn.Module):
    """Its last layer runs twice."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.first, self.last = nn.Linear(9, 4, dtype=dtype), nn.Linear(4, 4, dtype=dtype)

    def forward(self, x):
        return self.last(self.last(torch.relu(self.first(x.flatten(1)))))


class Changed(Twice):
    """It changes its features in place after the last layer ran, by their own name or another."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        z = self.first(x.flatten(1))
        names = {"own": z, "view": z.view(-1, 4)}
        out = self.last(z)
        names[self.name].relu_()
        return out


def layer_input(net, x):
    split = split_last_linear(net, x[:3])
    return LayerInput(split.module, split.last, split.features)


@pytest.mark.parametrize("options", [{}, {"dtype": torch.float64}])
def test_features_are_those_of_the_last_time_the_layer_runs(options):
    torch.manual_seed(0)
    net, x = Twice(**options).eval(), torch.rand(5, *SHAPE)
    features = layer_input(net, x)
    values = traced(features, SHAPE).values(x.double())[-1]
    with torch.no_grad():
        torch.testing.assert_close(values.float(), features(x), rtol=1e-4, atol=1e-6)
    assert not any(layer._forward_pre_hooks for layer in net.modules())


def test_a_later_change_in_place_of_the_features_is_followed_or_refused():
    net, x = Changed("own").eval(), torch.rand(5, *SHAPE)
    graph = traced(LayerInput(net, net.last, net), SHAPE)
    with torch.no_grad():
        expected = net.first(x.flatten(1)).relu()
    torch.testing.assert_close(graph.values(x.double())[-1].float(), expected)
    net = Changed("view").eval()
    with pytest.raises(ConfigError, match="under another name"):
        traced(LayerInput(net, net.last, net), SHAPE)


def test_a_layer_without_bounds_before_the_features_is_named():
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.GELU(), nn.Linear(6, 3)).eval()
    for head in HEADS:
        with pytest.raises(ConfigError, match=r"'2' \(GELU\)"):
            certifier_of(model_on(net, head), ThreatModel(eps=0.1), SHAPE, CROWN())


def test_a_layer_that_does_not_run_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 3)).eval()
    with pytest.raises(ConfigError, match="not called with one tensor"):
        traced(LayerInput(net, nn.Linear(9, 3), net), SHAPE)
