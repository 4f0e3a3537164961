"""Pieces of random networks by what layers they are of, and by what was done to a layer.

See `random_wiring` for what a piece is.
"""

import warnings
from types import MethodType

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from tests.robench.random_wiring import Piece, conv, norm


class Halved(nn.Conv2d):
    """A convolution that is not quite one."""

    def forward(self, x):
        return self._conv_forward(x, 0.5 * self.weight, self.bias)


class Counting(nn.Module):
    """Counts in a buffer how often it was asked."""

    def __init__(self):
        super().__init__()
        self.register_buffer("asked", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.asked += 1
        return x


class Centred(nn.Module):
    """A kernel whose filters have mean zero, as a parametrization."""

    def forward(self, weight):
        return weight - weight.mean(dim=(1, 2, 3), keepdim=True)


def in_place_modules(draw, c):
    return nn.Sequential(conv(c, bias=False), norm(c), nn.ReLU(inplace=True), conv(c), nn.ELU(inplace=True))


def depthwise(draw, c):
    return nn.Sequential(conv(c, groups=c, bias=False), norm(c), nn.ReLU(), conv(c, size=1), norm(c))


def grouped(draw, c):
    return nn.Sequential(conv(c, 2 * c, groups=2), norm(2 * c), nn.ReLU(), conv(2 * c, c, groups=c), norm(c))


def strided(draw, c):
    return nn.Sequential(conv(c, c + 2, stride=2, bias=False), norm(c + 2), nn.LeakyReLU(0.1))


def dilated(draw, c):
    return nn.Sequential(conv(c, dilation=2, padding=2), norm(c), nn.Tanh())


def wrapped_padding(draw, c):
    mode = draw.choice(["circular", "reflect", "replicate"])
    return nn.Sequential(conv(c, padding_mode=mode, bias=False), norm(c), nn.ReLU())


def transposed(draw, c):
    return nn.Sequential(nn.ConvTranspose2d(c, c, 3, padding=1, bias=False), norm(c), nn.ReLU())


def transposed_up(draw, c):
    return nn.Sequential(nn.ConvTranspose2d(c, c, 2, stride=2, groups=2), norm(c), nn.ReLU(), nn.AvgPool2d(2))


def average_pooled(draw, c):
    return nn.Sequential(conv(c), norm(c), nn.ReLU(), nn.AvgPool2d(2))


def max_pooled(draw, c):
    return nn.Sequential(conv(c), nn.MaxPool2d(2), norm(c), nn.ReLU())


def adaptively_pooled(draw, c):
    return nn.Sequential(conv(c), nn.AdaptiveMaxPool2d(3), norm(c), nn.ReLU(), nn.AdaptiveAvgPool2d((4, 4)))


def group_norm(draw, c):
    return nn.Sequential(conv(c), nn.GroupNorm(2, c), nn.ReLU())


def layer_norm(draw, c):
    return Piece(
        lambda s, x: s.norm(s.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
        conv=conv(c),
        norm=nn.LayerNorm(c),
    )


def instance_norm(draw, c):
    return nn.Sequential(conv(c), nn.InstanceNorm2d(c, affine=True, track_running_stats=True), nn.ReLU())


def dropout(draw, c):
    return Piece(
        lambda s, x: F.dropout(s.drop(F.relu(s.norm(s.conv(x)))), 0.3, training=s.training),
        conv=conv(c), norm=norm(c), drop=nn.Dropout2d(0.4),
    )  # fmt: skip


def named_outputs(draw, c):
    def answer(s, x):
        z = F.relu(s.norm(s.conv(x)))
        return {"features": z, "size": z.mean()} if s.named else (z, x) if s.paired else z

    inner = Piece(answer, conv=conv(c), norm=norm(c))
    inner.named, inner.paired = draw.choice([(True, False), (False, True)])
    return Piece(lambda s, x: s.inner(x)["features"] if s.inner.named else s.inner(x)[0], inner=inner)


def hooked(draw, c):
    layers = nn.Sequential(conv(c), norm(c), nn.ReLU())
    where = draw.randrange(4)
    if where == 0:
        layers[0].register_forward_hook(lambda layer, inputs, z: 0.5 * z + 0.1)
    elif where == 1:
        layers[1].register_forward_pre_hook(lambda layer, inputs: (inputs[0].tanh(),))
    elif where == 2:
        layers[1].register_forward_hook(lambda layer, inputs, z: z + inputs[0])
    else:
        layers.register_forward_hook(lambda layer, inputs, z: z - inputs[0].mean(dim=(2, 3), keepdim=True))
    return layers


def hooked_backwards(draw, c):
    layers = nn.Sequential(conv(c), norm(c), nn.Tanh())
    layers[0].register_full_backward_hook(lambda layer, incoming, outgoing: (incoming[0] * 0.5,))
    layers[1].register_full_backward_pre_hook(lambda layer, outgoing: (outgoing[0].clamp(-1, 1),))
    return layers


def old_weight_norm(draw, c):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # old, and still met
        layer = nn.utils.weight_norm(conv(c))
    return nn.Sequential(layer, norm(c), nn.ReLU())


def old_spectral_norm(draw, c):
    return nn.Sequential(nn.utils.spectral_norm(conv(c)), norm(c), nn.ReLU())


def parametrized(draw, c):
    layer = conv(c)
    how = draw.choice([parametrizations.weight_norm, parametrizations.spectral_norm, None])
    layer = how(layer) if how else parametrize.register_parametrization(layer, "weight", Centred())
    return nn.Sequential(layer, norm(c), nn.ReLU())


def counting(draw, c):
    return nn.Sequential(Counting(), conv(c), Counting(), norm(c), nn.ReLU())


def patched_convolution(draw, c):
    layers = nn.Sequential(conv(c), norm(c), nn.ReLU())
    layers[0].forward = MethodType(lambda s, x: F.conv2d(x, s.weight.flip(-1), s.bias, padding=1), layers[0])
    return layers


def patched_norm(draw, c):
    layers = nn.Sequential(conv(c, bias=False), norm(c), nn.ReLU())
    own = layers[1].forward
    layers[1].forward = lambda x: own(x) + 0.2 * x
    return layers


def patched_block(draw, c):
    layers = nn.Sequential(conv(c), norm(c), nn.ReLU())
    own = layers.forward
    layers.forward = lambda x: own(own(x))
    return layers


def subclassed(draw, c):
    return nn.Sequential(Halved(c, c, 3, padding=1), norm(c), nn.ReLU())


def scattered_weights(draw, c):
    """Kernels with holes between their rows, turned over in memory, or parts of one store."""
    layers = nn.Sequential(conv(c), norm(c), nn.ReLU(), conv(c), norm(c), conv(c))
    whole = torch.randn(3, c, c, 3, 3) / 5
    layers[0].weight.data = whole[0].transpose(0, 1).contiguous().transpose(0, 1)
    layers[3].weight = nn.Parameter(whole[1])
    layers[5].weight.data = torch.randn(2 * c, c, 3, 3)[::2] / 5
    return layers


def channels_last(draw, c):
    return nn.Sequential(conv(c), norm(c), nn.ReLU(), conv(c)).to(memory_format=torch.channels_last)


def cast(dtype):
    def piece(draw, c):
        inner = nn.Sequential(conv(c, bias=False), norm(c), nn.ReLU(), conv(c)).to(dtype)
        return Piece(lambda s, x: s.inner(x.to(dtype)).to(x.dtype), inner=inner)

    return piece


LAYERS = {
    piece.__name__: piece
    for piece in (
        in_place_modules, depthwise, grouped, strided, dilated, wrapped_padding, transposed, transposed_up,
        average_pooled, max_pooled, adaptively_pooled, group_norm, layer_norm, instance_norm, dropout,
        named_outputs, hooked, hooked_backwards, old_weight_norm, old_spectral_norm, parametrized, counting,
        patched_convolution, patched_norm, patched_block, subclassed, scattered_weights, channels_last,
    )
}  # fmt: skip
"""Name of a kind of layer to what makes a piece of it, given chance and the number of channels."""

CASTS = {
    str(dtype).removeprefix("torch."): cast(dtype) for dtype in (torch.float64, torch.bfloat16, torch.float16)
}
"""The same for computing in another type."""

SHRINKING = {"strided", "average_pooled", "max_pooled"}
"""Pieces that leave smaller images."""
