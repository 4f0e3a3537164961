"""What clamps or rectifies the images in front of a network hides the gradient of black and white pixels."""

import functools

import pytest
import torch
from torch import nn

from robench.judge.edge_probe import blind_at_the_ends
from robench.judge.probes import probe
from robench.model.interface import Model
from tests.robench.judge import gallery, masked_gradients


@functools.cache
def network():
    return masked_gradients.trained("relu").net


def behind(change):
    net = gallery.Through(network(), lambda z: z, change)
    return Model(name="m", net=net.eval(), classes=10)


def right_images(model):
    x, y = masked_gradients.digits()[2].batch(slice(0, 64))
    right = model.net(x).argmax(1) == y
    return x[right], y[right]


@pytest.mark.parametrize(
    "change", [lambda x: x.clamp(0, 1), torch.relu, nn.Hardtanh(0, 1), lambda x: 1 - torch.relu(1 - x)]
)
def test_a_clamp_or_a_relu_in_front_is_told(change):
    model = behind(change)
    x, y = right_images(model)
    assert torch.equal(model.net(x), network()(x))  # the very same function
    (finding,) = probe(model, x, y)
    assert finding.code == "wrong-gradient"
    assert "at an end of the box" in finding.evidence


@pytest.mark.parametrize("change", [lambda x: x, lambda x: (x - 0.3) / 0.3, lambda x: x.clamp(-0.1, 1.1)])
def test_what_leaves_the_gradient_is_not(change):
    model = behind(change)
    assert probe(model, *right_images(model)) == ()


def test_images_inside_the_box_are_not_asked_about():
    model = behind(lambda x: x.clamp(0, 1))
    x, y = right_images(model)
    assert blind_at_the_ends(model, 0.4 + 0.2 * x, y) is None


def test_a_convolution_without_bias_on_a_black_ground_is_sound():
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    net = nn.Sequential(*body, nn.Linear(256, 10, bias=False)).eval()
    x = masked_gradients.digits()[2].batch(slice(0, 64))[0]
    assert blind_at_the_ends(Model(name="m", net=net, classes=10), x, net(x).argmax(1)) is None
