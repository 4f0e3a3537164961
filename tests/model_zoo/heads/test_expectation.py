"""The gradient source of a random model: it averages draws, and never the one the model classifies with."""

import pytest
import torch
from torch import nn

from model_zoo.builder import ZooBuilder
from model_zoo.heads.expectation import expectation
from model_zoo.heads.linear import Linear
from robench.attack.losses import cross_entropy
from robench.data.images import image_set
from robench.errors import ConfigError
from robench.model.interface import GradientSource, Model, OutputKind
from robench.model.noise import draw, noise_of
from robench.plan.spec import Choice, ModelSpec


class Noisy(nn.Module):
    """Logits W (x + s n), n normal: the log-odds of two classes are normal, with a known law."""

    random = True

    def __init__(self, deviation):
        super().__init__()
        self.linear = nn.Linear(4, 2, bias=False)
        self.linear.weight.data = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 1.0, 0.0, 1.0]])
        self.deviation = deviation

    def extra_repr(self):
        return f"deviation={self.deviation}"

    def forward(self, x):
        normal = noise_of(x, seed=0, use="noisy").normal(x)
        return self.linear((x + self.deviation * normal).flatten(1))


def built(net, **options):
    return Linear(**options)(
        net, name="row", classes=2, training_data=lambda: None, seed=0, device="cpu", details={}
    )


def images(count=3):
    return torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def exact_probability(net, x):
    """E[softmax] of two classes by Gauss-Hermite quadrature of the normal log-odds; (B,), differentiable."""
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    nodes, weights = torch.tensor(nodes), torch.tensor(weights / weights.sum())
    w = (net.linear.weight[0] - net.linear.weight[1]).double().detach()
    odds = x.double().flatten(1) @ w
    return torch.sigmoid(odds[:, None] + net.deviation * w.norm() * nodes) @ weights


@pytest.mark.thorough
def test_it_approaches_the_exact_expectation_and_its_gradient():
    net, y = Noisy(0.8), torch.zeros(3, dtype=torch.int64)
    draws = 300
    source = built(net, draws=draws).source("expectation")
    assert source.output is OutputKind.LOG_PROBABILITIES
    x = images().requires_grad_(True)
    outputs, _ = source.surrogate(x)
    truth = exact_probability(net, x)
    torch.testing.assert_close(outputs.exp().sum(dim=1), torch.ones(3))
    # A probability has a deviation of at most 1/2.
    torch.testing.assert_close(outputs[:, 0].exp().double(), truth, rtol=0, atol=4 * 0.5 / draws**0.5)
    (gradient,) = torch.autograd.grad(cross_entropy(outputs, y, source.output).sum(), x)
    (expected,) = torch.autograd.grad(-truth.log().sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=0.15, atol=0.05)


def test_few_draws_are_the_mean_of_just_these_and_own_outputs_are_draw_0():
    net, x = Noisy(0.8), images()
    model = built(net, draws=2)
    outputs, own = model.source("expectation").surrogate(x)
    assert torch.equal(own, net(x))
    probabilities = []
    for number in (1, 2):
        with draw(number):
            probabilities.append(net(x).softmax(dim=1))
    torch.testing.assert_close(outputs.exp(), sum(probabilities) / 2)
    with draw(7):  # another expectation is under way: one joint draw, not ten times ten
        joint, standing_in = model.source("expectation").surrogate(x)
        torch.testing.assert_close(joint, net(x).log_softmax(dim=1))
    assert torch.equal(joint, standing_in)


def test_simplex_points_are_averaged_as_they_are():
    net, x = Noisy(0.8), images()
    simplex = GradientSource("s", lambda x: (net(x).softmax(dim=1), net(x)), OutputKind.SIMPLEX)
    logits = Model(name="m", net=net, classes=2).source("exact")
    one = expectation(net, simplex, count=5)
    other = expectation(net, logits, count=5)
    assert one.output is OutputKind.SIMPLEX
    torch.testing.assert_close(one.surrogate(x)[0], other.surrogate(x)[0].exp())


def test_only_random_networks_offer_it_and_it_comes_first():
    model = built(Noisy(0.5))
    assert list(model.sources) == ["expectation", "exact"]
    assert model.details["chance"] == ["deviation=0.5"]
    assert model.fingerprint() != built(Noisy(0.4)).fingerprint()
    plain = built(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    assert list(plain.sources) == ["exact"]
    assert plain.details == {"head": "linear"}
    with pytest.raises(ConfigError, match="draws"):
        Linear(draws=0)


@pytest.mark.thorough
def test_a_random_network_under_both_heads():
    options = {"members": 2, "depth": 8, "noise": 0.2}
    spec = ModelSpec(name="row", architecture=Choice(name="en_resnet", options=options), buffer=6)
    wnll = Choice(name="wnll", options={"m": 6, "n": 3, "template": 20})
    over = ModelSpec(name="wnll", features_of="row", head=wnll)
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = image_set((x * 255).to(torch.uint8), torch.arange(40) % 2, name="noise", split="train")
    builder = ZooBuilder()
    net = builder.network(spec, shape=(1, 8, 8), classes=2, seed=0, trust_code=False).eval()
    for recipe in (spec, over):
        model = builder.model(recipe, net, classes=2, training_data=lambda: data, seed=0, device="cpu")
        assert next(iter(model.sources)) == "expectation"
        point = x[:3].clone().requires_grad_(True)
        outputs, own = model.source("expectation").surrogate(point)
        assert torch.equal(own, model.net(x[:3]))
        (gradient,) = torch.autograd.grad(
            cross_entropy(outputs, torch.tensor([0, 1, 0]), model.source("expectation").output).sum(), point
        )
        assert gradient.abs().amax() > 0
