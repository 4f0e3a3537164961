"""Bounds of every kind of network against what images in the region really do; and what is refused."""

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from robench.attack.norms import L1, L2, LINF, NORMS
from robench.attack.threat import Goal, ThreatModel
from robench.bounds import Budget, Certifier, Verdict, branch_and_bound, lower_bounds
from robench.bounds.certifier import EFFORTS
from robench.bounds.network import Effort
from robench.errors import ConfigError, InputError
from robench.model.fingerprint import network_digest
from robench.model.interface import Coupling, Model
from robench.randomness import Randomness
from tests.robench.bounds import networks

GALLERY = networks.gallery()
RADII = {"Linf": 0.05, "L2": 0.3, "L1": 1.0}


def images(count, seed=0):
    return torch.rand(count, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def sampled(threat, x, count, seed=0):
    """Random images of the region, and ones at its corners or on its sphere."""
    rng = Randomness(seed, torch.arange(count))
    x = x.expand(count, *x.shape[1:])
    inside = threat.sample(x, rng)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    far = threat.project(x, x + 100 * threat.eps * noise)
    return torch.cat([inside, far])


def margins(outputs, y):
    others = outputs.scatter(1, y.expand(len(outputs), 1), -torch.inf).amax(1)
    return outputs[:, int(y)] - others


@pytest.mark.thorough
@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_no_node_leaves_its_interval_and_no_margin_its_bound(name, norm):
    net = networks.drawn(GALLERY[name], seed=3)
    threat = ThreatModel(norm=NORMS[norm], eps=RADII[norm])
    x = images(2)
    y = net(x).argmax(1)
    certifier = Certifier.of(net, threat, x)
    certifier.checked(x, y)
    low_by_method = []
    for method, effort in EFFORTS.items():
        if method == "alpha_crown" and norm != "Linf":
            continue  # the slopes do not know the norm
        analysis = certifier.bounded(x, effort)
        bounds = lower_bounds(net, x, y, threat, method=method)
        low_by_method.append(bounds)
        for number in range(2):
            points = sampled(threat, x[number : number + 1], 200)
            values = certifier.exact.values(points.double())
            for (low, high), value in zip(analysis.intervals, values, strict=True):
                assert bool((value >= low[number]).all())
                assert bool((value <= high[number]).all())
            assert float(margins(certifier.exact(points.double()), y[number]).min()) >= float(bounds[number])
    for loose, tight in pairwise(low_by_method):
        assert bool((tight >= loose - 1e-12).all())


@pytest.mark.parametrize("name", GALLERY)
def test_windows_give_what_whole_layers_give(name, monkeypatch):
    from robench.bounds.rows import Rows

    net = networks.drawn(GALLERY[name], seed=4)
    threat = ThreatModel(norm=LINF, eps=0.05)
    x = images(2)
    with_windows = Certifier.of(net, threat, x).bounded(x, Effort())

    def whole(self, node, owner, place, sign, plain=None):
        shape = self.graph.nodes[node].shape
        a = torch.zeros(len(place), *shape, dtype=self.region.x.dtype)
        a.view(len(place), -1)[torch.arange(len(place)), place] = sign.to(a.dtype)
        return node, Rows(a, owner), torch.zeros(len(place), dtype=a.dtype)

    from robench.bounds.backward import Backward

    monkeypatch.setattr(Backward, "neurons", whole)
    without = Certifier.of(net, threat, x).bounded(x, Effort())
    for one, other in zip(with_windows.intervals, without.intervals, strict=True):
        for side, same in zip(one, other, strict=True):
            assert torch.allclose(side, same, rtol=1e-9, atol=1e-9)


@pytest.mark.thorough
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(sorted(GALLERY)),
    norm=st.sampled_from(["L1", "L2", "Linf"]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_certified_is_never_broken(seed, name, norm):
    net = networks.drawn(copy.deepcopy(GALLERY[name]), seed)
    threat = ThreatModel(norm=NORMS[norm], eps=RADII[norm])
    x = images(1, seed)
    y = net(x).argmax(1)
    (outcome,) = branch_and_bound(net, x, y, threat, budget=Budget(seconds=None, domains=120, attacked=2))
    points = sampled(threat, x, 300, seed)
    least = float(margins(net(points).detach().double(), y).min())
    if outcome.verdict is Verdict.CERTIFIED:
        assert least > 0
    if outcome.verdict is Verdict.BROKEN:
        assert outcome.x_adv is not None
        assert bool(threat.admits(x, outcome.x_adv[None]))
        assert int(net(outcome.x_adv[None]).argmax(1)) != int(y)
    if not isinstance(net, nn.Sequential) or not isinstance(net[-1], nn.LogSoftmax):
        assert outcome.bound <= least + 1e-5


@pytest.mark.parametrize("name", GALLERY)
def test_the_graph_computes_what_the_network_computes(name):
    net = networks.drawn(GALLERY[name], seed=5)
    certifier = Certifier.of(net, ThreatModel(eps=0.1), images(1))
    x = images(4)
    ours = certifier.exact(x.double())
    if certifier.exact.ending:
        ours = getattr(ours, certifier.exact.ending)(dim=1)
    assert torch.allclose(ours, net(x).double(), atol=1e-5)


@pytest.mark.thorough
def test_the_network_is_left_as_it_was():
    net = networks.drawn(GALLERY["residual"], seed=6).train()
    before, modes = network_digest(net), [part.training for part in net.modules()]
    x = images(2)
    lower_bounds(net, x, torch.tensor([0, 1]), ThreatModel(eps=0.02), method="alpha_crown")
    branch_and_bound(
        net, x, torch.tensor([0, 1]), ThreatModel(eps=0.02), budget=Budget(seconds=None, domains=20)
    )
    assert network_digest(net) == before
    assert [part.training for part in net.modules()] == modes
    assert all(p.grad is None for p in net.parameters())


def test_the_judges_tolerance_lies_inside_the_region():
    net = networks.drawn(GALLERY["linear"], seed=7)
    x, threat = images(1).clamp(0.2, 0.8), ThreatModel(eps=0.1)
    (bound,) = lower_bounds(net, x, torch.tensor([0]), threat).tolist()
    step = 0.1 * (1 + threat.tolerance) + threat.tolerance
    weight = net[1].weight.detach().double()
    exact = net[1].bias.detach().double() + x.flatten().double() @ weight.T
    truth = min(float(exact[0] - exact[k] - step * (weight[0] - weight[k]).abs().sum()) for k in (1, 2))
    assert bound <= truth
    assert bound == pytest.approx(truth, abs=1e-9)


class Sigmoid(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(72, 4), nn.Sigmoid(), nn.Linear(4, 3))

    def forward(self, x):
        return self.body(x)


class Products(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(72, 3)

    def forward(self, x):
        return self.fc(x.flatten(1)) * self.fc(x.flatten(1))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Deciding()

    def forward(self, x):
        return self.inner(x)


class Deciding(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(72, 3)

    def forward(self, x):
        return self.fc(x.flatten(1)) if x.sum() > 0 else -self.fc(x.flatten(1))


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(72, 3)

    def forward(self, x):
        return self.fc((x - x.mean()).flatten(1))


def hooked():
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    net[1].register_forward_hook(lambda module, inputs, out: out + 1)
    return net


def replaced():
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    net[1].forward = lambda x: x[:, :3]
    return net


REFUSED = {
    "body.2": Sigmoid,
    "product": Products,
    "inner": Branching,
    "batch": Mixing,
    "hooks": hooked,
    "'1'": replaced,
    "circular": lambda: nn.Sequential(
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), nn.Flatten(), nn.Linear(72, 3)
    ),
    "GELU": lambda: nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(72, 3)),
    "statistics": lambda: nn.Sequential(
        nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten(), nn.Linear(72, 3)
    ),
    "slope": lambda: nn.Sequential(nn.Flatten(), nn.LeakyReLU(1.5), nn.Linear(72, 3)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_layer_without_a_bound_is_refused_by_name(words):
    net = REFUSED[words]().eval()
    with pytest.raises(ConfigError, match="layer") as error:
        lower_bounds(net, images(1), torch.tensor([0]), ThreatModel(eps=0.1))
    assert words in str(error.value)
    assert error.value.exit_code == 2


class Late(nn.Module):
    """Changes its input in place and goes on with it."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(72, 3)

    def forward(self, x):
        z = self.conv(x)
        out = nn.functional.relu(z, inplace=True)
        return self.fc((out + z).flatten(1))


def test_a_change_in_place_is_followed():
    net = networks.drawn(Late(), seed=8)
    certifier = Certifier.of(net, ThreatModel(eps=0.1), images(1))
    assert torch.allclose(certifier.exact(images(3).double()), net(images(3)).double(), atol=1e-5)


class Cloned(Late):
    """Changes a copy in place, and goes on with both."""

    def forward(self, x):
        z = self.conv(x)
        return self.fc((z.clone().relu_() + z).flatten(1))


class Aliased(Late):
    """Changes a view in place, and so what it is a view of."""

    def forward(self, x):
        z = self.conv(x)
        z.flatten(1).relu_()
        return self.fc(z.flatten(1))


class Idle(Late):
    """Changes in place what a layer that does nothing gave back."""

    def __init__(self):
        super().__init__()
        self.idle = nn.Identity()

    def forward(self, x):
        z = self.conv(x)
        return self.fc((self.idle(z).relu_() + z).flatten(1))


class Clamped(Late):
    """Cuts values at others."""

    def forward(self, x):
        z = self.conv(x)
        return self.fc(torch.clamp(z, min=x).flatten(1))


def stubborn():
    """Return dropout that never stops."""
    layer = nn.Dropout(0.5)
    layer.train = lambda mode=True: layer
    return layer


def test_a_copy_is_not_what_it_is_a_copy_of():
    net = networks.drawn(Cloned(), seed=8)
    certifier = Certifier.of(net, ThreatModel(eps=0.1), images(1))
    assert torch.allclose(certifier.exact(images(3).double()), net(images(3)).double(), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Aliased, "under another name"),
        (Idle, "under another name"),
        (Clamped, "arguments bounds do not know"),
        (lambda: nn.Sequential(stubborn(), nn.Flatten(), nn.Linear(72, 3)), "stays in training mode"),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        lower_bounds(
            networks.drawn(make(), seed=8), images(4), torch.tensor([0, 0, 0, 0]), ThreatModel(eps=0.1)
        )


def test_a_network_that_computes_something_else_is_refused(monkeypatch):
    net = networks.drawn(GALLERY["dense"], seed=8)
    certifier = Certifier.of(net, ThreatModel(eps=0.1), images(1))
    assert certifier.exact.output
    with torch.no_grad():
        net[1].bias.add_(1.0)
    with pytest.raises(ConfigError, match="computes what its layers say"):
        certifier.checked(images(4), torch.tensor([0, 0, 0, 0]))


def test_what_means_nothing_is_refused():
    net, x, y = networks.drawn(GALLERY["linear"], seed=1), images(1), torch.tensor([0])
    with pytest.raises(ConfigError, match="finite radius"):
        lower_bounds(net, x, y, ThreatModel(eps=float("inf")))
    with pytest.raises(ConfigError, match="untargeted"):
        lower_bounds(net, x, y, ThreatModel(eps=0.1, goal=Goal.TARGETED))
    with pytest.raises(ConfigError, match="alpha_crown"):
        lower_bounds(net, x, y, ThreatModel(eps=0.1), method="crwon")
    with pytest.raises(InputError, match="values from"):
        lower_bounds(net, 2 + x, y, ThreatModel(eps=0.1))
    with pytest.raises(InputError, match="classes from"):
        lower_bounds(net, x, y + 3, ThreatModel(eps=0.1))
    with pytest.raises(ConfigError, match="one for each class"):
        lower_bounds(Model(name="m", net=net, classes=4), x, y, ThreatModel(eps=0.1))
    with pytest.raises(ConfigError, match="other images"):
        lower_bounds(Model(name="m", net=net, classes=3, coupling=Coupling.JOINT), x, y, ThreatModel(eps=0.1))
    for wrong in ({"batch": 0}, {"seconds": -1.0}, {"domains": 0}, {"candidates": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Budget(**wrong)


def test_a_large_network_of_many_rows_agrees_with_small_pieces(monkeypatch):
    net = networks.drawn(GALLERY["strided"], seed=9)
    x, y, threat = images(6), torch.tensor([0, 1, 2, 0, 1, 2]), ThreatModel(norm=L2, eps=0.3)
    whole = lower_bounds(net, x, y, threat)
    monkeypatch.setattr("robench.bounds.network.ELEMENTS", 64)
    assert torch.allclose(lower_bounds(net, x, y, threat), whole, rtol=1e-9)


def test_no_images_have_no_bounds():
    net = networks.drawn(GALLERY["dense"], seed=2)
    assert lower_bounds(
        net, images(0), torch.zeros(0, dtype=torch.long), ThreatModel(norm=L1, eps=1.0)
    ).shape == (0,)


@pytest.mark.parametrize("name", GALLERY)
def test_crown_alone_holds_too_and_what_is_cut_at_zero_needs_no_lower_bound(name, monkeypatch):
    net = networks.drawn(GALLERY[name], seed=3)
    threat, x = ThreatModel(norm=LINF, eps=0.05), images(2)
    y = net(x).argmax(1)
    certifier = Certifier.of(net, threat, x)
    alone = certifier.margins(x, y, Effort(combined=False)).amin(dim=1)
    with torch.no_grad():
        for i in range(2):
            points = sampled(threat, x[i : i + 1], 50)
            assert bool((margins(net(points), y[i]).double() >= alone[i] - 1e-4).all())
    usual = certifier.margins(x, y, Effort())
    monkeypatch.setattr("robench.bounds.network._cut_at_zero", lambda graph, node: False)
    assert torch.allclose(certifier.margins(x, y, Effort()), usual, rtol=1e-9, atol=1e-9)
