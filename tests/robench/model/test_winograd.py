"""Convolutions by fewer multiplications are those of torch, and only where they are worth it."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from robench.model.copy_methods import CopyMethod, methods_for, round_otherwise, version_of_copies
from robench.model.fast_copy import prepared_copy
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.model.winograd import Room, WinogradConvolution, _Winograd, suits

X = torch.rand(8, 3, 9, 11, generator=torch.Generator().manual_seed(0))


def wide(seed=0, channels=256):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, channels, 1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 4),
    )
    net[3].running_mean.normal_()
    net[3].running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize("room", [Room(), Room(0)], ids=["kept", "made for every pass"])
@pytest.mark.parametrize("shape", [(3, 4, 8, 8), (1, 4, 24, 21), (2, 4, 13, 30), (40, 4, 3, 3)])
def test_values_and_both_gradients_are_those_of_torch(shape, room):
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 5, 3, padding=1)
    fast = WinogradConvolution(conv, conv.weight.detach(), conv.bias.detach(), room)
    assert (fast._kept is None) is (room.left == 0)
    x = torch.randn(shape, requires_grad=True)
    cotangent = torch.randn(shape[0], 5, *shape[2:])
    answers = []
    for layer in (conv, lambda x: _Winograd.apply(x, fast, False) + fast._bias[:, None, None]):
        outputs = layer(x)
        (gradient,) = torch.autograd.grad((outputs * cotangent).sin().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
        answers.append((outputs, gradient, second))
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(one.detach().abs().max()))


def test_what_an_image_gets_does_not_depend_on_how_many_there_are():
    conv = nn.Conv2d(8, 8, 3, padding=1)
    fast = WinogradConvolution(conv, conv.weight.detach(), None, Room())
    x = torch.randn(12, 8, 16, 16)
    whole = fast.transformed(x, backward=False)
    assert torch.equal(whole[:5], fast.transformed(x[:5], backward=False))


def test_a_copy_with_it_is_chosen_and_proven_where_a_convolution_suits():
    net = wide()
    before = copy.deepcopy(net.state_dict())
    model = Model(name="m", net=net, classes=4)
    copies = PreparedModel(model)
    assert copies.choose(X, [model.source("exact")]) == "folded, channels-last, Winograd"
    with copies.using("folded, channels-last, Winograd"):
        torch.testing.assert_close(model.net(X), net(X), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_weights_that_are_changed_later_are_the_ones_that_answer():
    twin = prepared_copy(wide(), CopyMethod("w", channels_last=True, winograd=True))
    with torch.no_grad():
        twin[5].weight.mul_(2)
        twin[5].bias.mul_(2)
        own = nn.Conv2d.forward(twin[5], h := torch.randn(9, 256, 8, 8))
        assert torch.equal(twin[5](h), own)


def test_autocast_few_tiles_and_other_types_are_left_to_torch():
    conv = nn.Conv2d(256, 256, 3, padding=1)
    fast = WinogradConvolution(conv, conv.weight.detach(), None, Room())
    few, many = torch.rand(1, 256, 8, 8), torch.rand(8, 256, 8, 8)
    assert not fast._is_worth_it(few)
    assert fast._is_worth_it(many)
    assert not fast._is_worth_it(many.double())
    with torch.autocast("cpu"):
        assert not fast._is_worth_it(many)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(256, 128, 3, padding=1),
        nn.Conv2d(256, 256, 3, padding=1, stride=2),
        nn.Conv2d(256, 256, 3, padding=1, groups=2),
        nn.Conv2d(256, 256, 3, padding=2, dilation=2),
        nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(256, 256, 3, padding="same"),
        nn.Conv2d(256, 256, 3, padding=1, dtype=torch.float64),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(256, 256, 3, padding=1)),
        prune.l1_unstructured(nn.Conv2d(256, 256, 3, padding=1), "weight", amount=0.5),
    ],
    ids=str,
)
def test_other_convolutions_are_not_touched(other):
    assert suits(nn.Conv2d(256, 256, 3, padding=1))
    assert not suits(other)


@pytest.mark.parametrize("change", [partial(prune.l1_unstructured, amount=0.5), torch.nn.utils.spectral_norm])
def test_a_network_whose_weight_is_made_in_every_pass_is_attacked(change):
    net = wide()
    for place in (2, 5):
        change(net[place], "weight")
    copies = PreparedModel(model := Model(name="m", net=net, classes=4))
    assert version_of_copies(model.net) == 1
    with copies.using(copies.choose(X, [model.source("exact")])):
        assert model.net(X).shape == (8, 4)


def test_only_networks_with_new_copies_are_said_to_round_otherwise():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return next(h.view(len(h), -1) for h in [self.conv(x)])

    class Flattens(Views):
        def forward(self, x):
            return self.conv(x).flatten(1)

    class Elsewhere(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1)

    assert round_otherwise([wide()])
    assert round_otherwise([Views()])
    assert round_otherwise([Flattens()])  # what it inherits names `view`: the wider answer is the safe one
    assert not round_otherwise([Elsewhere()])  # nothing in it has a layout
    assert not round_otherwise([wide(channels=8)])
    assert not any(method.winograd for method in methods_for([wide(channels=8)]))
