"""Pixels that matter and have no gradient, because the network detaches them, are found; others are not."""

import functools

import pytest
import torch
from torch import nn

from robench.judge.hidden_pixels import hidden_pixels
from robench.judge.probes import probe
from robench.model.interface import Model
from tests.robench.judge import gallery, masked_gradients


@functools.cache
def network():
    return masked_gradients.trained("relu").net


def behind(change, net=None):
    return Model(name="m", net=gallery.Through(net or network(), lambda z: z, change).eval(), classes=10)


def asked(model):
    """Probe a model about the digits that it gets right."""
    x, y = masked_gradients.digits()[2].batch(slice(0, 64))
    right = model.net(x).argmax(1) == y
    return hidden_pixels(model, x[right], y[right])


def detached(rows):
    def change(x):
        mask = torch.zeros_like(x)
        mask[:, :, rows] = 1
        return torch.where(mask.bool(), x.detach(), x)

    return change


def through_numpy(x):
    return torch.cat([torch.from_numpy(x[:, :, :4].detach().numpy().copy()), x[:, :, 4:]], dim=2)


@pytest.mark.parametrize("change", [detached(slice(0, 4)), detached(slice(2, 4)), through_numpy])
def test_a_part_of_the_image_that_is_detached_is_told(change):
    doubt = asked(behind(change))
    assert doubt.code == "wrong-gradient"
    assert "gradient of exactly zero" in doubt.evidence


def test_the_share_is_that_of_a_linear_network():
    """Of w x with equal weights, half of them detached, half of the change comes from hidden pixels."""

    class Line(nn.Module):
        def forward(self, x):
            left, right = x[..., :4].detach(), x[..., 4:]
            score = left.sum((1, 2, 3)) + right.sum((1, 2, 3))
            return torch.stack([score, -score], dim=1)

    x = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    doubt = hidden_pixels(Model(name="m", net=Line(), classes=2), x, torch.zeros(16, dtype=torch.long))
    share = int(doubt.evidence.split("these make ")[1].split("%")[0])
    assert 40 <= share <= 60


def median(x):
    around = nn.functional.unfold(nn.functional.pad(x, (1, 1, 1, 1), mode="reflect"), 3)
    return around.view(len(x), 9, *x.shape[2:]).median(dim=1, keepdim=True).values


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: nn.functional.pad(x[:, :, 1:7, 1:7], (1, 1, 1, 1)),  # the border does not matter
        lambda x: x.clamp(0.1, 0.9),  # other probes ask about that
        lambda x: torch.relu(x - 0.1),
        median,
        lambda x: nn.functional.interpolate(nn.functional.max_pool2d(x, 2), scale_factor=2),
    ],
)
def test_pixels_that_do_not_matter_here_are_not_told(change):
    assert asked(behind(change)) is None


def test_rounding_of_half_precision_is_no_change():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = gallery.sound().half()

        def forward(self, x):
            part = torch.cat([x[:, :, :1] * 0, x[:, :, 1:]], dim=2)
            return self.net(part.half()).float()

    x, y = gallery.data().batch(slice(0, 32))
    assert hidden_pixels(Model(name="m", net=Half().eval(), classes=4), x, y) is None


def test_it_is_among_the_probes():
    model = behind(detached(slice(0, 4)))
    x, y = masked_gradients.digits()[2].batch(slice(0, 64))
    assert [doubt.code for doubt in probe(model, x, y)] == ["wrong-gradient"]
