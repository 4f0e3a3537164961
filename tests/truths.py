"""Tiny models whose robustness is known, shared by the tests."""

import torch
from torch import nn

from robench.attack.norms import LINF
from robench.attack.oracle import Oracle
from robench.attack.protocol import run_attack
from robench.attack.threat import ThreatModel
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, GradientSource, Model, OutputKind, predictions
from robench.randomness import Randomness

# Networks this small gain nothing from threads, and two busy pools on two cores lose a factor of ten.
torch.set_num_threads(1)


class Notes(list):
    """A list that a network writes into, left as it is: plain ones are put back after an evaluation."""


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def linear(weight, bias=None, name="linear"):
    """Scores W x + b of flattened images; `weight` (K, D)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0]).to(weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.zeros(len(weight)) if bias is None else bias)
    return Model(name=name, net=nn.Sequential(nn.Flatten(), layer).eval(), classes=len(weight))


def random_linear(classes=3, shape=(1, 4, 4), seed=0, centred=False):
    """Random weights; centred, all boundaries meet at mid-grey, so that distances vary a lot around it."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, shape[0] * shape[1] * shape[2], generator=generator)
    return linear(weight, -weight.sum(dim=1) / 2 if centred else None)


def small_net(shape=(1, 6, 6), classes=4, seed=0, width=16):
    """A random nonlinear network, smooth, independent, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = shape[0] * shape[1] * shape[2]
        net = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.Tanh(), nn.Linear(width, classes))
        for layer in (net[1], net[3]):
            layer.weight.data.mul_(3)
    return Model(name="small", net=net.eval(), classes=classes)


def with_head(model, function, kind=OutputKind.LOGITS):
    """The same network with something done to its scores."""
    net = nn.Sequential(model.net, Lambda(function)).eval()
    return Model(name="headed", net=net, classes=model.classes, output=kind)


def joint(model):
    """A model whose scores depend on the batch: each row gets a bit of the batch's mean input."""

    class Joint(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model.net
            self.sizes = Notes()

        def forward(self, x):
            self.sizes.append(len(x))
            return self.net(x + 0.05 * (x.mean(dim=0, keepdim=True) - 0.5))

    return Model(name="joint", net=Joint().eval(), classes=model.classes, coupling=Coupling.JOINT)


def two_sources(model):
    """A model whose second gradient source has the opposite gradient."""

    def turned(x):
        own = model.net(x)
        return -own, own.detach()

    def itself(x):
        own = model.net(x)
        return own, own

    sources = {
        "exact": GradientSource("exact", itself, OutputKind.LOGITS),
        "turned": GradientSource("turned", turned, OutputKind.LOGITS),
    }
    return Model(name="two", net=model.net, classes=model.classes, sources=sources)


def images(count, shape=(1, 6, 6), seed=0, low=0.0, high=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, *shape, generator=generator, dtype=dtype)


def classify(model, x):
    with torch.no_grad():
        return predictions(model.net(x))


def attacked(attack, model, x, y=None, *, eps=0.1, norm=LINF, seed=0, indices=None, threat=None, **options):
    """Run an attack as the harness does; returns (proposal, oracle, last)."""
    y = classify(model, x) if y is None else y
    threat = threat or ThreatModel(norm=norm, eps=eps)
    with evaluation_mode(model.net):
        oracle = Oracle(model, x, y, threat, minimise=attack.info.minimises, **options)
        streams = Randomness(seed, torch.arange(len(x)) if indices is None else indices, ("test",))
        last = run_attack(attack, oracle, streams)
        return oracle.proposal(last), oracle, last


def broken(model, x_adv, y, x=None, threat=None):
    """Whether the label is not predicted any more, at a point the threat admits if one is given."""
    wrong = classify(model, x_adv) != y
    return wrong if threat is None else wrong & threat.admits(x, x_adv)
