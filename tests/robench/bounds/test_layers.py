"""Every option of every layer: computed as torch does and never above what is sampled, or refused by name."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robench.attack.norms import NORMS
from robench.attack.threat import ThreatModel
from robench.bounds import Certifier, lower_bounds
from robench.bounds.network import Effort
from robench.errors import ConfigError

SHAPE = (2, 7, 6)
pytestmark = pytest.mark.filterwarnings("ignore:Using padding")  # of even kernels


class Called(nn.Module):
    """A function of the values of a convolution, then scores."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.function = nn.Conv2d(2, 2, 3, padding=1), function

    def forward(self, x):
        return self.function(self.conv(x))


def norm(**options):
    layer = nn.BatchNorm2d(2, **options)
    with torch.no_grad():
        if layer.affine:
            layer.weight.copy_(torch.tensor([-1.5, 0.7]))
            layer.bias.copy_(torch.tensor([0.3, -0.2]))
        if layer.running_mean is not None:
            layer.running_mean.copy_(torch.tensor([0.2, -0.4]))
            layer.running_var.copy_(torch.tensor([0.5, 2.0]))
    return layer


STATISTICS = {"running_mean": torch.tensor([0.2, -0.1]), "running_var": torch.tensor([0.5, 2.0])}
KNOWN = {
    "average": nn.AvgPool2d(2),
    "average, negative divisor": nn.AvgPool2d(2, divisor_override=-3),
    "average, divisor": nn.AvgPool2d((3, 2), stride=(2, 1), padding=1, divisor_override=2),
    "average of one, negative divisor": nn.AvgPool2d(1, divisor_override=-1),
    "average, ceiled": nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "average, ceiled, padding not counted": nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "average, ceiled, negative divisor": nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=-2),
    "average function": lambda h: F.avg_pool2d(h, 2, divisor_override=-3),
    "average function by position": lambda h: F.avg_pool2d(h, 3, 2, 1, True, False, -4),
    "average by name": lambda h: F.avg_pool2d(input=h, kernel_size=(2, 3), stride=1),
    "adaptive average": nn.AdaptiveAvgPool2d((3, None)),
    "adaptive average, larger": nn.AdaptiveAvgPool2d((9, 7)),
    "adaptive average function": lambda h: F.adaptive_avg_pool2d(h, 1),
    "maximum": nn.MaxPool2d((2, 3), stride=(1, 2), padding=(1, 0)),
    "maximum, dilated": nn.MaxPool2d(3, stride=1, padding=1, dilation=2),
    "maximum, ceiled": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "maximum, dilated and ceiled": nn.MaxPool2d(2, stride=3, padding=1, dilation=3, ceil_mode=True),
    "maximum function": lambda h: F.max_pool2d(h, 3, 2, 1, 1, True),
    "adaptive maximum": nn.AdaptiveMaxPool2d((3, None)),
    "adaptive maximum function": lambda h: F.adaptive_max_pool2d(h, (2, 4)),
    "convolution": nn.Conv2d(2, 4, (2, 3), stride=(2, 1), padding=(0, 2), dilation=(2, 1), groups=2),
    "convolution, wide padding": nn.Conv2d(2, 3, 1, stride=2, padding=2, bias=False),
    "convolution, same": nn.Conv2d(2, 3, (2, 4), padding="same", dilation=(2, 1)),
    "convolution, valid": nn.Conv2d(2, 3, 2, padding="valid"),
    "convolution function": lambda h: F.conv2d(h, torch.ones(2, 1, 2, 2), None, 2, 1, 2, 2),
    "norm": norm(),
    "norm, large eps": norm(eps=3.0),
    "norm, not affine": norm(affine=False),
    "norm, no momentum": norm(momentum=None),
    "norm function": lambda h: F.batch_norm(h, **STATISTICS, weight=torch.tensor([-1.0, 2.0]), eps=0.5),
    "leaky": nn.LeakyReLU(0.3),
    "leaky 0": nn.LeakyReLU(0.0),
    "leaky 1": nn.LeakyReLU(1.0),
    "hardtanh": nn.Hardtanh(-0.1, 0.2),
    "relu6": nn.ReLU6(),
    "pad": nn.ZeroPad2d((1, 0, 2, 3)),
    "pad, negative": nn.ZeroPad2d((-1, 2, 0, -2)),
    "pad function, negative": lambda h: F.pad(h, (1, -1, -2, 0, 1, -1)),
    "unflatten": nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (2, 3, 7)), nn.ReLU(), nn.Flatten(2, 3)),
    "flatten": nn.Sequential(nn.Flatten(-2), nn.ReLU()),
    "weight norm": nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 2)),
    "clamp": lambda h: torch.clamp(h, -0.1, 0.2),
    "clamp, limits the wrong way round": lambda h: torch.clamp(h, 0.2, -0.1) + h,
    "clamp, infinite": lambda h: h.clamp(min=-float("inf"), max=0.1).clamp(0.0, float("inf")),
    "clamp, limits of one number": lambda h: torch.clamp(h, torch.tensor(-0.1), torch.tensor(0.2)),
    "clamp_min": lambda h: h.clamp_min(min=0.05),
    "maximum of two": lambda h: torch.maximum(h, -h[:, :, :, :]),
    "maximum with a constant": lambda h: torch.maximum(h, torch.tensor(0.1)),
    "maximum with constants": lambda h: torch.maximum(torch.tensor([[[0.1]], [[-0.2]]]), h),
    "minimum of two": lambda h: torch.minimum(h, h * 0.5 + 0.1),
    "minimum with constants": lambda h: torch.minimum(h, other=torch.tensor([[[[0.1]], [[-0.2]]]])),
    "minimum, method": lambda h: h.minimum(torch.tensor(0.0)).maximum(-h),
    "mean": lambda h: h.mean(dim=(2, -1), keepdim=True) * -2,
    "sum": lambda h: torch.sum(h, (2,)),
    "squeeze": lambda h: h.mean((2, 3), keepdim=True).squeeze((2, 3)),
    "negative constants": lambda h: (1 - h) / -0.5 * torch.tensor([[[-1.0]], [[2.0]]]),
}  # fmt: skip
REFUSED = {
    "average, divisor 0": (lambda h: F.avg_pool2d(h, 2, divisor_override=0), "divisor"),
    "maximum, indices": (nn.MaxPool2d(2, return_indices=True), "indices"),
    "adaptive maximum, indices": (nn.AdaptiveMaxPool2d(2, return_indices=True), "indices"),
    "maximum function, indices": (lambda h: F.max_pool2d(h, 2, return_indices=True)[0], "max_pool2d"),
    "maximum, negative padding": (lambda h: F.max_pool2d(h, 2, padding=-1), "padding"),
    "maximum, wide padding": (lambda h: F.max_pool2d(h, 2, padding=2), "padding"),
    "maximum, no stride": (nn.MaxPool2d(2, stride=0), "ZeroDivision"),
    "maximum, negative stride": (nn.MaxPool2d(2, stride=-1), "no pixel"),
    "maximum, no kernel": (nn.MaxPool2d(0, stride=1), "no pixel"),
    "average, no stride": (nn.AvgPool2d(2, stride=0), "stride"),
    "adaptive average of nothing": (nn.AdaptiveAvgPool2d(0), "no values"),
    "adaptive maximum of nothing": (nn.AdaptiveMaxPool2d(0), "arguments"),
    "convolution, no stride": (nn.Conv2d(2, 2, 1, stride=0), "stride"),
    "convolution, circular": (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), "circular"),
    "convolution, reflect": (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "reflect"),
    "convolution, replicate": (nn.Conv2d(2, 2, 3, padding=1, padding_mode="replicate"), "replicate"),
    "convolution, negative padding": (nn.Conv2d(2, 2, 3, padding=-1), "negative"),
    "transposed convolution": (nn.ConvTranspose2d(2, 2, 3), "ConvTranspose2d"),
    "norm, no statistics": (norm(track_running_stats=False), "statistics"),
    "norm, negative variance": (norm(eps=-1.0), "finite"),
    "norm function, training": (lambda h: F.batch_norm(h, **STATISTICS, training=True), "batch"),
    "norm function, no statistics": (lambda h: F.batch_norm(h, None, None, training=True), "batch"),
    "group norm": (nn.GroupNorm(1, 2), "GroupNorm"),
    "instance norm": (nn.InstanceNorm2d(2), "InstanceNorm2d"),
    "leaky, negative": (nn.LeakyReLU(-0.1), "slope"),
    "leaky, above 1": (nn.LeakyReLU(1.5), "slope"),
    "leaky, no number": (nn.LeakyReLU(float("nan")), "slope"),
    "leaky function, negative": (lambda h: F.leaky_relu(h, -0.1), "slope"),
    "prelu": (nn.PReLU(), "PReLU"),
    "random relu": (nn.RReLU(), "RReLU"),
    "pad, constant": (nn.ConstantPad2d(1, 0.5), "ConstantPad2d"),
    "pad function, constant": (lambda h: F.pad(h, (1, 1), value=0.5), "zeros"),
    "pad function, reflect": (lambda h: F.pad(h, (1, 1, 1, 1), mode="reflect"), "reflect"),
    "pad, along the batch": (lambda h: F.pad(h, (0, 0, 0, 0, 0, 0, 1, 0)), "batch"),
    "dropout, on": (lambda h: F.dropout(h, 0.5), "dropout"),
    "clamp by values": (lambda h: torch.clamp(h, min=h * 0.5), "arguments"),
    "clamp by many limits": (lambda h: torch.clamp(h, min=torch.zeros(1, 1, 1, 1)), "many limits"),
    "clamp, no number": (lambda h: torch.clamp(h, min=float("nan")), "finite"),
    "maximum, broadcast": (lambda h: torch.maximum(h, h.mean((2, 3), keepdim=True)), "different shapes"),
    "minimum, broadcast": (lambda h: torch.minimum(h[:, :1], h), "different shapes"),
    "maximum with a larger constant": (lambda h: torch.maximum(h[:, :1], torch.ones(2, 1, 1)), "shape"),
    "largest": (lambda h: torch.max(h, -h), "max"),
    "mean over all": (lambda h: h - h.mean(dim=()), "images of a batch"),
    "sum in halves": (lambda h: h.sum((2,), dtype=torch.float16), "float16"),
    "squeeze with the batch": (lambda h: h.mean((2, 3), keepdim=True).squeeze((0, 2, 3)), "batch"),
    "division by 0": (lambda h: h / 0.0, "finite"),
    "twice added": (lambda h: torch.add(h, h, alpha=2), "alpha"),
}  # fmt: skip


def network(part, seed=0):
    """Scores of what a layer or function makes of an image."""
    torch.manual_seed(seed)
    part = copy.deepcopy(part)
    body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), part) if isinstance(part, nn.Module) else Called(part)
    body.eval()
    with torch.no_grad():
        width = body(torch.zeros(2, *SHAPE)).flatten(1).shape[1]
    return nn.Sequential(body, nn.Flatten(), nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("norm_name", ["Linf", "L2"])
def test_an_option_is_computed_as_torch_does_and_bounded_below_what_is_sampled(name, norm_name):
    net = network(KNOWN[name])
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, *SHAPE, generator=generator)
    threat = ThreatModel(norm=NORMS[norm_name], eps=0.1 if norm_name == "Linf" else 0.5)
    certifier = Certifier.of(net, threat, x)
    points = torch.rand(50, *SHAPE, generator=generator)
    assert torch.allclose(certifier.exact(points.double()), net(points).detach().double(), atol=1e-5)
    y = net(x).argmax(1)
    certifier.checked(x, y)
    bounds = {method: lower_bounds(net, x, y, threat, method=method) for method in ("ibp", "crown")}
    assert bool((bounds["crown"] >= bounds["ibp"] - 1e-12).all())
    analysis = certifier.bounded(x, Effort())
    for number in range(2):
        near = x[number] + threat.eps * (2 * torch.rand(300, *SHAPE, generator=generator) - 1).sign()
        near = threat.project(x[number : number + 1].expand(300, *SHAPE), near)
        values = certifier.exact.values(near.double())
        for (low, high), value in zip(analysis.intervals, values, strict=True):
            assert bool(((value >= low[number]) & (value <= high[number])).all())
        others = values[-1].scatter(1, y[number].expand(300, 1), -torch.inf).amax(1)
        least = float((values[-1][:, y[number]] - others).min())
        assert float(bounds["crown"][number]) <= least
        if norm_name == "Linf":
            assert least - float(bounds["crown"][number]) < 10.0, "not merely minus infinity"


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_without_a_bound_is_refused_by_name(name):
    part, words = REFUSED[name]
    body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), part) if isinstance(part, nn.Module) else Called(part)
    net = nn.Sequential(body, nn.Flatten(), nn.Linear(84, 3)).eval()
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ConfigError, match="layer") as error:
        lower_bounds(net, x, torch.tensor([0, 1]), ThreatModel(eps=0.1))
    assert words in str(error.value)


def test_a_norm_that_stays_in_training_mode_is_refused():
    layer = norm()
    layer.train = lambda mode=True: layer
    net = nn.Sequential(layer, nn.Flatten(), nn.Linear(84, 3))
    with pytest.raises(ConfigError, match="training mode"):
        lower_bounds(net, torch.rand(1, *SHAPE), torch.tensor([0]), ThreatModel(eps=0.1))


def test_a_relu6_with_another_limit_is_bounded_by_that():
    layer = nn.ReLU6()
    layer.max_val = 0.1
    net = network(layer)
    x = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    certifier = Certifier.of(net, ThreatModel(eps=0.1), x)
    assert torch.allclose(certifier.exact(x.double()), net(x).detach().double(), atol=1e-5)


def test_a_padding_with_another_value_is_refused():
    layer = nn.ZeroPad2d(1)
    layer.value = 1.0
    net = nn.Sequential(layer, nn.Flatten(), nn.Linear(144, 3)).eval()
    with pytest.raises(ConfigError, match=r"padding with 1\.0"):
        lower_bounds(net, torch.rand(1, *SHAPE), torch.tensor([0]), ThreatModel(eps=0.1))
