"""What is read from a forward pass: a softmax only where it changes nothing, nothing that shifts."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robench.attack.threat import ThreatModel
from robench.bounds import Certifier, Verdict, branch_and_bound, lower_bounds
from robench.errors import ConfigError
from robench.model.interface import Model, OutputKind
from robench.model.tested_network import TestedNetwork

THREAT = ThreatModel(eps=0.05)


def images(count=3):
    return torch.rand(count, 1, 3, 3, generator=torch.Generator().manual_seed(0))


class Scores(nn.Module):
    """Scores, and what `end` makes of them."""

    def __init__(self, end=lambda net, z: z):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 4))
        self.end, self.again = end, nn.Linear(4, 4)
        self.soft, self.log = nn.Softmax(dim=1), nn.LogSoftmax(dim=-1)
        self.register_buffer("count", torch.zeros(1))
        self.requires_grad_(False)

    def forward(self, x):
        return self.end(self, self.body(x))


def unused(net, z):
    F.softmax(z, dim=1)
    return -z


def beside(net, z):
    z.softmax(dim=1)
    return z


def earlier(net, z):
    other = -z
    net.soft(z)
    return other


ENDS = {
    "softmax": lambda net, z: F.softmax(z, dim=1),
    "softmax of the last axis": lambda net, z: F.softmax(z, -1),
    "by name": lambda net, z: F.softmax(input=z, dim=1),
    "torch's": lambda net, z: torch.softmax(z, 1),
    "log": lambda net, z: torch.log_softmax(z, dim=1),
    "method": lambda net, z: z.softmax(1),
    "log method": lambda net, z: z.log_softmax(dim=-1),
    "layer": lambda net, z: net.soft(z),
    "log layer": lambda net, z: net.log(z),
    "of minus": lambda net, z: F.log_softmax(-z, dim=1),
    "unused": unused,
    "beside": beside,
    "earlier": earlier,
}
NOT_ENDS = {
    "scaled": lambda net, z: F.softmax(z, dim=1) * -1,
    "divided": lambda net, z: net.soft(z) / -2,
    "in the middle": lambda net, z: net.again(F.softmax(z, dim=1)),
    "twice": lambda net, z: F.softmax(F.log_softmax(z, 1), 1),
    "two layers": lambda net, z: net.soft(net.soft(z)),
    "added": lambda net, z: z + F.softmax(z, dim=1),
    "beside scores": lambda net, z: torch.cat([z[:, :2], F.softmax(z[:, 2:], dim=1)], dim=1),
    "over images": lambda net, z: F.softmax(z, dim=0),
    "over pairs": lambda net, z: F.softmax(z.view(-1, 2, 2), dim=1).flatten(1),
    "over pairs of the last axis": lambda net, z: F.softmax(z.view(-1, 2, 2), dim=-1).flatten(1),
    "in halves": lambda net, z: F.softmax(z, dim=1, dtype=torch.float16),
    "minimum": lambda net, z: F.softmin(z, dim=1),
    "changed in place": lambda net, z: F.softmax(z, dim=1).neg_(),
    "of a view": lambda net, z: F.softmax(z, dim=1).flatten(1),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_a_last_softmax_changes_no_verdict(name):
    net, x = Scores(ENDS[name]).eval(), images()
    y = net(x).argmax(1)
    certifier = Certifier.of(net, THREAT, x)
    scores = certifier.exact(x.double())
    assert torch.equal(scores.argmax(1), y)
    bounds = lower_bounds(net, x, y, THREAT)
    generator = torch.Generator().manual_seed(1)
    for number, outcome in enumerate(branch_and_bound(net, x, y, THREAT)):
        points = x[number] + 0.05 * (2 * torch.rand(500, 1, 3, 3, generator=generator) - 1).sign()
        outputs = certifier.exact(points.clamp(0, 1).double())
        others = outputs.scatter(1, y[number].expand(500, 1), -torch.inf).amax(1)
        assert float(bounds[number]) <= float((outputs[:, y[number]] - others).min())
        wrong = net(points.clamp(0, 1)).argmax(1) != y[number]
        assert not (outcome.verdict is Verdict.CERTIFIED and bool(wrong.any()))
        if outcome.x_adv is not None:
            assert int(net(outcome.x_adv[None]).argmax()) != int(y[number])


@pytest.mark.parametrize("name", NOT_ENDS)
def test_a_softmax_that_is_not_last_is_refused(name):
    net = Scores(NOT_ENDS[name]).eval()
    with pytest.raises(ConfigError, match="soft"):
        lower_bounds(net, images(), torch.tensor([0, 1, 2]), THREAT)


def counted(net, z):
    net.count.add_(1.0)
    return z + net.count


def swapped(net, z):
    z = z + net.count
    net.count = net.count + 1.0
    return z


def noted(net, z):
    net.features = z
    return -z


def kept(net, z):
    z = z + net.offset
    net.offset = net.offset + 1.0
    return z


def offset():
    net = Scores(kept)
    net.offset = torch.zeros(1)
    return net


def replaced(net):
    net.forward = lambda x: -net.body(x)
    return net


def convolved():
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(8, 3))
    net[0]._conv_forward = lambda x, weight, bias: -F.conv2d(x, weight, bias)
    return net


class Called(Scores):
    def __call__(self, x):
        return -super().__call__(x)


SHIFTING = {
    "a buffer is counted": (Scores(counted), "changes the network's own count"),
    "a buffer is swapped": (Scores(swapped), "changes the network's own count"),
    "an attribute is swapped": (offset(), "changes the network's own offset"),
    "torch draws": (Scores(lambda net, z: z + 1e-6 * torch.rand(4)), "random numbers"),
    "torch draws like": (Scores(lambda net, z: z + 1e-6 * torch.rand_like(net.again.bias)), "random"),
    "python draws": (Scores(lambda net, z: z + 1e-6 * random.random()), "random numbers"),
    "numpy draws": (Scores(lambda net, z: z + 1e-6 * float(np.random.rand())), "random numbers"),
    "forward replaced": (replaced(Scores()), "replaced"),
    "a layer's convolution replaced": (convolved(), "replaced"),
    "called otherwise": (Called(), "replaced"),
    "several inputs": (type("S", (nn.Module,), {"forward": lambda s, x, z: x})(), "several inputs"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHIFTING)
def test_what_changes_by_itself_is_refused(name):
    net, words = SHIFTING[name]
    with pytest.raises(ConfigError, match=words):
        lower_bounds(net.eval(), images(), torch.tensor([0, 1, 2]), THREAT)


def test_a_hook_on_every_layer_is_refused():
    handle = nn.modules.module.register_module_forward_hook(lambda layer, inputs, out: -out)
    try:
        with pytest.raises(ConfigError, match="hooks"):
            lower_bounds(Scores().eval(), images(), torch.tensor([0, 1, 2]), THREAT)
    finally:
        handle.remove()


def test_constants_found_in_a_forward_pass_leave_nothing_behind():
    net = Scores(lambda net, z: z + torch.tensor([0.1, 0.2, 0.3, 0.4])).eval()
    before = set(vars(net))
    x = images()
    certifier = Certifier.of(net, THREAT, x)
    assert torch.allclose(certifier.exact(x.double()), net(x).double(), atol=1e-6)
    assert set(vars(net)) == before


def test_a_network_may_note_down_its_features():
    net, x = Scores(noted).eval(), images()
    y = net(x).argmax(1)
    before = net.features
    assert torch.allclose(Certifier.of(net, THREAT, x).exact(x.double()), net(x).double(), atol=1e-6)
    noted_down = net.features
    lower_bounds(net, x, y, THREAT)
    assert net.features is noted_down
    assert torch.equal(before, noted_down)


@pytest.mark.parametrize("kind", OutputKind)
def test_chosen_classes_are_bounded_among_themselves(kind):
    end = {"logits": "", "simplex": "softmax", "log_probabilities": "log_softmax"}[kind]
    net = Scores((lambda net, z: getattr(z, end)(dim=1)) if end else (lambda net, z: z)).eval()
    network = TestedNetwork(net, class_map=(3, 0, 1), kind=kind)
    model, x = Model(name="m", net=network, classes=3, output=kind), images()
    y = network(x).argmax(1)
    plain = Scores(lambda net, z: z[:, :]).eval()
    bounds = lower_bounds(model, x, y, THREAT)
    points = (x[:, None] + 0.05 * (2 * torch.rand(3, 400, 1, 3, 3) - 1).sign()).clamp(0, 1)
    for number in range(3):
        outputs = plain(points[number])[:, [3, 0, 1]].double()
        others = outputs.scatter(1, y[number].expand(400, 1), -torch.inf).amax(1)
        assert float(bounds[number]) <= float((outputs[:, y[number]] - others).min())
    with pytest.raises(ConfigError, match="class 9"):
        lower_bounds(Model(name="m", net=TestedNetwork(net, class_map=(9, 0)), classes=2), x, y * 0, THREAT)
