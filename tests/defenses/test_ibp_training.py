"""Interval bound training: bounds against closed forms and samples, gradients in float64, the schedule."""

import itertools

import pytest
import torch
from torch import nn

from defenses.ibp_training import BoundLoss, IBPTraining
from defenses.training.trained_bounds import TrainedBounds, margin_bounds
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.bounds import lower_bounds
from robench.errors import ConfigError
from robench.model.interface import Model
from tests.defenses.toys import context, network, toy

SHORT = {"epochs": 6, "batch_size": 16, "learning_rate": 0.01, "validation": 0.2}


class Wired(nn.Module):
    """A bit of everything: batch norm, residual connection, pooling, functions and methods."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        h = torch.relu(self.norm(self.first((x - 0.5) / 0.25)))
        h = nn.functional.relu(h + self.second(h))
        h = nn.functional.avg_pool2d(h, 2)
        return self.last(h.view(h.size(0), -1))


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def mlp(sizes=(9, 6, 3), seed=0):
    def make():
        layers = [nn.Flatten()]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return seeded(make, seed).double().eval()


def images(count=5, side=3, seed=1, channels=1):
    generator = torch.Generator().manual_seed(seed)
    x = 0.3 + 0.4 * torch.rand(count, channels, side, side, generator=generator, dtype=torch.float64)
    return x, torch.arange(count) % 3


def bounds_of(net, x, y, eps, *, crown):
    steps = TrainedBounds(net).steps(x, (x - eps).clamp_min(0), (x + eps).clamp_max(1))
    return margin_bounds(steps, y, carried=crown), steps


@pytest.mark.parametrize("carried", [False, True])
def test_the_bounds_of_a_linear_network_are_exact(carried):
    net = mlp((9, 3))
    x, y = images()
    bound, _ = bounds_of(net, x, y, 0.1, crown=carried)
    weight, bias = net[1].weight, net[1].bias
    difference = weight[y][:, None] - weight[None]
    exact = (difference * x.flatten(1)[:, None]).sum(-1) + bias[y][:, None] - bias[None]
    exact = exact - 0.1 * difference.abs().sum(-1)
    assert torch.allclose(bound, exact, atol=1e-12)


def test_one_rectifier_in_closed_form():
    # Margin 0 - relu(x) for x in [l, u] = [-0.2, 0.3] after a shift: at least -u, by intervals and by CROWN.
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)).double().eval()
    with torch.no_grad():
        net[1].weight.fill_(1.0)
        net[1].bias.fill_(-0.4)
        net[3].weight.copy_(torch.tensor([[0.0], [1.0]]))
        net[3].bias.zero_()
    x, eps = torch.full((1, 1, 1, 1), 0.45, dtype=torch.float64), 0.25
    for crown in (False, True):
        down, _ = bounds_of(net, x, torch.tensor([0]), eps, crown=crown)
        up, _ = bounds_of(net, x, torch.tensor([1]), eps, crown=crown)
        assert down[0, 1].item() == pytest.approx(-0.3)
        # relu(x) itself is at least 0; the adaptive lower line is the identity, as u > -l, and -0.2 at l.
        assert up[0, 0].item() == pytest.approx(-0.2 if crown else 0.0)


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("make", [lambda: mlp((16, 8, 8, 3)), lambda: seeded(Wired).double().eval()])
def test_bounds_and_intervals_contain_what_the_network_does(make, carried):
    net, eps = make(), 0.05
    x, y = images(count=6, side=4)
    bound, steps = bounds_of(net, x, y, eps, crown=carried)
    noise = torch.rand(200, *x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype) * 2 - 1
    for points in (x + eps * noise, x + eps * noise.sign()):
        outputs = net(points.clamp(0, 1).flatten(0, 1)).view(200, len(x), -1)
        margins = outputs.gather(2, y.expand(200, -1)[..., None]) - outputs
        assert bool((margins >= bound - 1e-9).all())
        last = steps[-1].output
        assert bool((outputs >= last.low - 1e-9).all())
        assert bool((outputs <= last.high + 1e-9).all())
    assert torch.allclose(steps[-1].output.value, net(x))


def test_at_radius_zero_the_bounds_are_the_margins():
    net = seeded(Wired).double().eval()
    x, y = images(side=4)
    outputs = net(x)
    margins = outputs.gather(1, y[:, None]) - outputs
    for crown in (False, True):
        bound, _ = bounds_of(net, x, y, 0.0, crown=crown)
        assert torch.allclose(bound, margins, atol=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("carried", [False, True])
def test_gradients_are_those_of_the_bounds(carried):
    net = mlp((9, 5, 3), seed=4)
    x, y = images(count=3)
    weights = [net[1].weight.detach().clone(), net[1].bias.detach().clone(), net[3].weight.detach().clone()]
    for layer, name in ((net[1], "weight"), (net[1], "bias"), (net[3], "weight")):
        del layer._parameters[name]

    def loss(first, bias, second):
        net[1].weight, net[1].bias, net[3].weight = first, bias, second
        bound, _ = bounds_of(net, x, y, 0.07, crown=carried)
        return nn.functional.cross_entropy(-bound, y)

    assert torch.autograd.gradcheck(loss, [one.requires_grad_(True) for one in weights])


def test_radius_kappa_and_beta_move_together():
    options = IBPTraining(eps=0.2, epochs=60, natural_epochs=2, ramp_epochs=10)
    assert [options.progress(epochs) for epochs in (0, 2, 7, 12, 60)] == [0, 0, 0.5, 1, 1]
    assert IBPTraining(eps=0.2, epochs=60).ramp_epochs == pytest.approx(10)
    assert IBPTraining(eps=0.2, epochs=6, natural_epochs=0, ramp_epochs=0).progress(0.0) == 1.0


@pytest.mark.parametrize("bound", ["ibp", "crown_ibp"])
def test_the_loss_is_the_mixture_of_the_paper(bound):
    net = mlp((9, 5, 3)).train()
    x, y = images()
    options = IBPTraining(eps=0.1, bound=bound, natural_epochs=0, ramp_epochs=2, kappa_end=0.5, **SHORT)
    objective = BoundLoss(net, options)

    class Batch:
        epochs_passed = 1.0

    loss, logits = objective.loss(x, y, Batch())
    interval, _ = bounds_of(net, x, y, 0.05, crown=False)
    crown, _ = bounds_of(net, x, y, 0.05, crown=True)
    margins = interval if bound == "ibp" else 0.5 * crown + 0.5 * interval
    cross = nn.functional.cross_entropy
    assert torch.allclose(logits, net(x))
    assert torch.allclose(loss, 0.75 * cross(net(x), y) + 0.25 * cross(-margins, y))


@pytest.mark.thorough
@pytest.mark.parametrize("bound", ["ibp", "crown_ibp"])
def test_training_certifies_what_bounds_certify_too(bound):
    data, net = toy(), network()
    longer = SHORT | {"epochs": 40, "learning_rate": 0.02}
    options = IBPTraining(eps=0.1, bound=bound, natural_epochs=10, ramp_epochs=15, **longer)
    history = options(net, data, context=context())
    assert len(history) == 40
    net.eval()
    x, y = data.batch(slice(None))
    sure = BoundLoss(net, options).survives(x, y, None)
    assert float(sure.float().mean()) > 0.5
    model = Model(name="net", net=net, classes=2)
    proofs = lower_bounds(model, x, y, ThreatModel(norm=LINF, eps=0.1), method="crown") > 0
    # CROWN is not always tighter than intervals, and takes roundings off: a few may differ.
    assert int((sure & ~proofs).sum()) <= 0.02 * len(y)


def test_batch_norm_learns_its_statistics_from_the_images_once_a_step():
    net = seeded(Wired).train()
    x, y = (part for part in images(side=4))
    x = x.float()
    options = IBPTraining(eps=0.1, natural_epochs=0, ramp_epochs=0, **SHORT)
    other = seeded(Wired).train()
    other(x)
    BoundLoss(net, options).margins(x, y, 0.1)
    assert torch.equal(net.norm.running_mean, other.norm.running_mean)
    assert int(net.norm.num_batches_tracked) == 1


@pytest.mark.parametrize(
    ("layer", "match"),
    [(nn.GELU(), "GELU"), (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), "Conv2d")],
)
def test_a_layer_without_bounds_is_refused_by_name_before_the_first_epoch(layer, match):
    net = nn.Sequential(layer, nn.Flatten(), nn.Linear(16, 2))
    rows = []
    with pytest.raises(ConfigError, match=match):
        IBPTraining(eps=0.1, **SHORT)(net, toy(), context=context(progress=rows.append))
    assert rows == []


@pytest.mark.parametrize(
    "options",
    [
        {"kappa_end": 1.5}, {"beta_end": -1.0}, {"eps": 0.0}, {"ramp_epochs": 99.0}, {"natural_epochs": -1.0},
        {"bound": "crown"}, {"precision": "bfloat16"},
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        IBPTraining(**{"eps": 0.1, **SHORT, **options})
