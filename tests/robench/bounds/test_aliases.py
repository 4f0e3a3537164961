"""Changes in place under every name: followed as torch makes them, or refused; seen on a grid."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robench.attack.threat import ThreatModel
from robench.bounds import Certifier, Verdict, branch_and_bound, lower_bounds
from robench.bounds.tracing import traced
from robench.errors import ConfigError

THREAT = ThreatModel(eps=0.3)
GRID = torch.cartesian_prod(*[torch.linspace(0.25, 0.85, 7)] * 4).view(-1, 1, 2, 2)


class Two(nn.Module):
    """Scores of h and of what is done to it: it matters whether h itself is rectified."""

    def __init__(self, made):
        super().__init__()
        self.conv, self.fc, self.made = nn.Conv2d(1, 1, 1), nn.Linear(8, 2), made
        self.relu, self.leaky = nn.ReLU(inplace=True), nn.LeakyReLU(1.0, inplace=True)
        self.drop, self.idle, self.flat = nn.Dropout(inplace=True), nn.Identity(), nn.Flatten()
        self.register_buffer("shift", torch.zeros(1, 1, 2, 2))
        self.weight = nn.Parameter(torch.ones(1, 1, 2, 2))
        with torch.no_grad():
            self.conv.weight.fill_(1.0)
            self.conv.bias.fill_(-0.5)
            self.fc.weight.copy_(torch.tensor([[1.0] * 4 + [-1.0] * 4, [0.0] * 8]))
            self.fc.bias.copy_(torch.tensor([-1.5, 0.0]))
        self.requires_grad_(False)

    def forward(self, x):
        return self.fc(torch.cat([x.flatten(1), self.made(self, self.conv(x)).reshape(-1, 4)], 1))


def written(change, reader=lambda net, h, result: h):
    """Change h by `change` and go on with what `reader` returns of h and of the result."""

    def made(net, h):
        result = change(net, h)
        return reader(net, h, result)

    return made


def before(view, change=lambda net, h: h.relu_()):
    """Take a view, change h, go on with the view."""

    def made(net, h):
        aliases = view(net, h)
        change(net, h)
        return aliases

    return made


def added(net, h):
    h += 0.0
    h.relu_()
    return h


def renamed(net, h):
    a = h
    a += 0.0
    a.relu_()
    return h


def multiplied(net, h):
    a = h
    a *= 2.0
    a -= 0.1
    a /= 0.5
    return torch.relu_(h)


def counted(net, h):
    n = h.shape[2]
    n *= 2
    return h.reshape(-1, n)


def _of_h_then_the_result(net, h):
    result = net.leaky(h)
    rows = h.flatten(1)
    net.relu(result)
    return rows


def _added_to_view(net, h):
    a = h
    a += 0.0
    b = a.view(-1, 4)
    b.relu_()
    return h


def _item_set(net, h):
    h[:, 0] = 0.0
    return h


def _data_set(net, h):
    h.data = F.relu(h)
    return h


def _power(net, h):
    h **= 2
    return h


FOLLOWED = {
    "relu, then a view": written(lambda net, h: F.relu(h, inplace=True)),
    "the layer": written(lambda net, h: net.relu(h)),
    "by position": written(lambda net, h: F.relu(h, True)),
    "by name": written(lambda net, h: F.relu(input=h, inplace=True)),
    "layer by name": written(lambda net, h: net.relu(input=h)),
    "relu_": written(lambda net, h: h.relu_()),
    "torch.relu_": written(lambda net, h: torch.relu_(h)),
    "clamp_": written(lambda net, h: h.clamp_(min=0.0)),
    "clamp_min_": written(lambda net, h: h.clamp_min_(0.0)),
    "torch.clamp_": written(lambda net, h: torch.clamp_(h, 0.0, 0.2)),
    "the result": written(lambda net, h: h.mul_(1.0).relu_()),
    "the result's name": written(lambda net, h: net.relu(net.leaky(h))),
    "a view of the result": written(lambda net, h: net.leaky(h).flatten(1), lambda net, h, result: result),
    "dropout": written(lambda net, h: net.relu(net.drop(h))),
    "+=": added,
    "+= of another name": renamed,
    "*=": multiplied,
    "itself": written(lambda net, h: h.add_(h).relu_()),
    "neg_": written(lambda net, h: h.neg_().relu_().neg_()),
    "a copy": before(lambda net, h: h.clone()),
    "torch.clone": before(lambda net, h: torch.clone(h)),
    "a number": counted,
    "own values": before(lambda net, h: h + 0.0),
    "hardtanh": written(lambda net, h: F.hardtanh(h, 0.0, 0.2, True)),
    "the part of a view that is all": written(lambda net, h: h.view(-1, 4).relu_(), lambda net, h, r: r),
}  # fmt: skip
REFUSED = {
    "flatten by name": before(lambda net, h: torch.flatten(input=h, start_dim=1)),
    "layer by name": before(lambda net, h: net.flat(input=h)),
    "view": before(lambda net, h: h.view(-1, 4)),
    "reshape": before(lambda net, h: torch.reshape(h, (-1, 4))),
    "transpose": before(lambda net, h: h.transpose(2, 3)),
    "permute": before(lambda net, h: h.permute(0, 1, 3, 2)),
    "squeeze": before(lambda net, h: h.squeeze(1)),
    "unsqueeze": before(lambda net, h: torch.unsqueeze(h, 1)),
    "slice": before(lambda net, h: h[:, :]),
    "detach": before(lambda net, h: h.detach()),
    "torch.detach": before(lambda net, h: torch.detach(h)),
    "contiguous": before(lambda net, h: h.contiguous()),
    "float": before(lambda net, h: h.float()),
    "identity": before(lambda net, h: net.idle(h)),
    "no dropout": before(lambda net, h: F.dropout(input=h, training=False)),
    "no padding": before(lambda net, h: F.pad(h, (0, 0))),
    "a view of a view": before(lambda net, h: h.flatten(1)[:, :4]),
    "of the result": before(lambda net, h: net.leaky(h).flatten(1), lambda net, h: net.relu(h)),
    "of h, then the result": _of_h_then_the_result,
    "chunk": before(lambda net, h: h.chunk(1)[0]),
    "split": before(lambda net, h: torch.split(h, 1)[0]),
    "unbind": before(lambda net, h: torch.unbind(h, 1)[0]),
    "expand": before(lambda net, h: h.expand(-1, -1, -1, -1)),
    "narrow": before(lambda net, h: h.narrow(1, 0, 1)),
    "into a view": written(lambda net, h: h.flatten(1).relu_()),
    "into part of a view": written(lambda net, h: h.view(-1, 4)[:, :2].relu_()),
    "+= into a view": _added_to_view,
    "into half": written(lambda net, h: F.relu(h[:, :, :1], inplace=True)),
    "out": written(lambda net, h: torch.clamp(h.flatten(1), min=0.0, out=h)),
    "out of add": written(lambda net, h: torch.add(h, 1.0, out=h)),
    "an item": _item_set,
    "data": _data_set,
    "data method": written(lambda net, h: h.data.relu_()),
    "copy_": written(lambda net, h: h.copy_(F.relu(h))),
    "zero_": written(lambda net, h: h.zero_()),
    "fill": written(lambda net, h: torch.fill_(h, 0.0)),
    "where it is read at once": written(lambda net, h: h.add_(h.transpose(2, 3))),
    "a constant": written(lambda net, h: net.weight.add_(1.0), lambda net, h, r: h * net.weight),
    "a view of a constant": written(lambda net, h: net.weight.view(-1).mul_(2.0)),
    "a buffer": written(lambda net, h: net.shift.add_(1.0), lambda net, h, r: h + net.shift),
    "power": _power,
}  # fmt: skip


def scored(part):
    net = Two(part).eval()
    x = torch.full((1, 1, 2, 2), 0.55)
    return net, x, net(x.clone()).argmax(1)


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_change_in_place_is_followed_as_torch_makes_it(name):
    net, x, y = scored(FOLLOWED[name])
    outputs = net(GRID.clone()).double()
    certifier = Certifier.of(net, THREAT, x)
    assert torch.allclose(certifier.exact(GRID.double()), outputs, atol=1e-5)
    least = float((outputs[:, y.item()] - outputs[:, 1 - y.item()]).min())
    assert float(lower_bounds(net, x, y, THREAT)) <= least + 1e-4
    (outcome,) = branch_and_bound(net, x, y, THREAT)
    assert outcome.verdict is (Verdict.CERTIFIED if least > 0 else Verdict.BROKEN)


@pytest.mark.thorough
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_in_place_is_refused(name):
    net, x, y = scored(lambda net, h: F.relu(h))
    net.made = REFUSED[name]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ConfigError, match="layer"):
        lower_bounds(net, x, y, THREAT)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def test_reading_a_view_as_it_was_would_certify_what_is_broken():
    net, _, y = scored(REFUSED["view"])
    assert bool((net(GRID.clone()).argmax(1) != y).any())
    net.made = lambda net, h: h.flatten(1)
    assert bool((net(GRID.clone()).argmax(1) == y).all())


VIEWS = [
    lambda h: h.flatten(1),
    lambda h: h.flatten(1).unsqueeze(2),
    lambda h: h[:, :],
    lambda h: torch.flatten(input=h, start_dim=1),
    lambda h: h.unsqueeze(1),
    lambda h: h.detach(),
    lambda h: h.contiguous(),
    lambda h: F.dropout(h, training=False),
    lambda h: h.flatten(1)[:, 1:],
]
OWN = [torch.relu, torch.clone, torch.neg, lambda h: h + 0.25, lambda h: h.clamp(min=0.1)]


def _counted_up(h):
    h += 0.125


def _halved(h):
    h *= 0.5


CHANGES = [
    lambda h: h.relu_(),
    lambda h: F.relu(h, inplace=True),
    lambda h: F.leaky_relu(h, 0.5, True),
    lambda h: h.mul_(-1.0),
    lambda h: h.clamp_(max=0.2),
    torch.neg_,
    _counted_up,
    _halved,
]


class Programme(nn.Module):
    """A few names of values, made, viewed and changed in a random order; the last of them are scored."""

    def __init__(self, seed):
        super().__init__()
        draw = random.Random(seed)
        count = draw.randrange(2, 7)
        self.steps = [(draw.choice("vvfccr"), draw.random(), draw.random()) for _ in range(count)]
        self.kept = draw.random()
        torch.manual_seed(seed)
        self.conv, self.fc = nn.Conv2d(1, 1, 1), nn.Identity()
        with torch.no_grad():
            self.fc = nn.Linear(self(torch.zeros(1, 1, 2, 2)).shape[1], 3)
        self.requires_grad_(False)

    def forward(self, x):
        names = [self.conv(x)]
        for kind, which, how in self.steps:
            h = names[int(which * len(names))]
            table = {"v": VIEWS, "f": OWN, "c": CHANGES, "r": CHANGES}[kind]
            result = table[int(how * len(table))](h)
            if kind != "c" and result is not None:  # "r": the result of a change gets a name of its own
                names.append(result)
        return self.fc(torch.cat([h.flatten(1) for h in names[int(self.kept * len(names)) :]], 1))


@pytest.mark.thorough
def test_random_programmes_of_views_and_changes_are_followed_or_refused():
    reasons, points = [], torch.randn(60, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    for seed in range(150):
        net = Programme(seed).eval()
        try:
            graph = traced(net, (1, 2, 2))
        except ConfigError as error:
            reasons.append(str(error))
            continue
        assert torch.allclose(graph(points.double()), net(points.clone()).double(), atol=1e-5), seed
    assert 20 < len(reasons) < 110, "some are refused, most are followed"
    assert all("under another name" in reason for reason in reasons)
