"""Small random networks by seed, written in all the ways in which networks are, and left in any state."""

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from tests.robench.random_layers import CASTS, LAYERS, SHRINKING, Counting
from tests.robench.random_wiring import WIRING, conv

SIDE = 8
BLOCKS = WIRING | LAYERS | CASTS
HEADS = ("view", "flatten", "reshape", "mean", "pool")
ENTRANCES = ("as_they_are", "buffers", "batch_norm", "in_place", "in_place_unseen", "in_place_augmented")
STATES = ("training", "partly_training", "partly_frozen", "with_gradients", "channels_last_throughout")
EXTRAS = ("hooked_throughout", "patched_throughout", "counting_throughout", "normalised_scores")


class RandomNetwork(nn.Module):
    """An entrance for the images (B, C, 8, 8), a stem, pieces, a head; returns scores (B, K).

    With an option on it returns more than scores; the option is off.
    """

    def __init__(self, entrance, channels, width, pieces, head):
        super().__init__()
        self.entrance, self.head = entrance, head
        self.register_buffer("mean", torch.full((1, channels, 1, 1), 0.45))
        self.register_buffer("spread", torch.full((1, channels, 1, 1), 0.3))
        self.stem = nn.Sequential(conv(channels, width), nn.ReLU())
        self.first = nn.BatchNorm2d(channels) if entrance == "batch_norm" else nn.Identity()
        self.pieces = nn.ModuleList(pieces)
        self.last = nn.Identity()
        self.as_tuple = self.as_dict = False

    def entered(self, x):
        """Normalise the images, in place on what was given where this is how it is written."""
        if self.entrance == "buffers":
            return (x - self.mean) / self.spread
        if self.entrance == "in_place":
            return x.sub_(self.mean).div_(self.spread)
        if self.entrance == "in_place_unseen":
            with torch.no_grad():
                x.sub_(self.mean).div_(self.spread)
            return x
        if self.entrance == "in_place_augmented":
            x *= 2
            x -= 1
            return x
        return self.first(x)

    def forward(self, x):
        x = self.stem(self.entered(x))
        for piece in self.pieces:
            x = piece(x)
        features = self.flat(x)
        scores = self.last(features)
        if self.as_tuple:
            return scores, features
        return {"scores": scores, "features": features} if self.as_dict else scores

    def flat(self, x):
        if self.head == "view":
            return x.view(x.size(0), -1)
        if self.head == "reshape":
            return x.reshape(len(x), -1)
        if self.head == "mean":
            return x.mean(dim=(2, 3))
        return (F.adaptive_avg_pool2d(x, 2) if self.head == "pool" else x).flatten(1)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A random network and what is in it: the same seed gives the same bits."""

    net: RandomNetwork
    kinds: tuple[str, ...]
    shape: tuple[int, int, int]
    classes: int


def drawn(seed, *, kinds=None):
    """Draw a network. Seeds that follow each other go through all pieces; `kinds` names what to make it of.

    One whose scores hardly differ from image to image says nothing but its rounding, and is drawn again.
    """
    draw = random.Random(seed)
    names = tuple(kinds or chosen(draw, seed))
    channels, width, classes = draw.choice([1, 3]), draw.choice([4, 6]), draw.choice([3, 4, 5])
    shape = (channels, SIDE, SIDE)
    with torch.random.fork_rng(devices=[]):
        for attempt in range(100):
            torch.manual_seed(100 * seed + attempt)
            net = assembled(names, draw, shape, width)
            if spread_out(net, shape, classes):
                break
        for name in names:
            put_into_state(net, name, draw)
    return Drawn(net=net, kinds=names, shape=shape, classes=classes)


def assembled(names, draw, shape, width):
    """Return a network of the named pieces in eval mode, whose last layer is still missing."""
    pieces, at = [], width
    for name in (name for name in names if name in BLOCKS):
        pieces.append(BLOCKS[name](draw, at).eval())
        with torch.no_grad():
            at = pieces[-1](torch.rand(2, at, SIDE, SIDE)).shape[1]
        if at % 2:  # some pieces work on pairs of channels
            pieces.append(conv(at, at + 1, size=1))
            at += 1
    entrance = next((name for name in names if name in ENTRANCES), ENTRANCES[0])
    head = next((name for name in names if name in HEADS), HEADS[0])
    return RandomNetwork(entrance, shape[0], width, pieces, head).eval()


def chosen(draw, seed):
    """Return names of pieces, of an entrance and of a head that go together, and of a state to be left in."""
    every = list(BLOCKS)
    names, shrinkings = [every[seed % len(every)]], 0
    names += draw.choices(every, k=draw.randint(0, 3))
    rest = []
    for name in names:
        shrinkings += name in SHRINKING
        if shrinkings <= 2 or name not in SHRINKING:
            rest.append(name)
    states = draw.sample(STATES, k=draw.randint(0, 2)) + draw.sample(EXTRAS, k=draw.randint(0, 1))
    # A view asks for the plain layout, which these do not leave behind. And PyTorch 2.14 itself finds a wrong
    # gradient of batch-norm on the CPU for one image that lies channels-last and is a view, as behind a hook.
    lasting = {"channels_last", "layer_norm", "channels_last_throughout"}
    if "hooked_backwards" in rest:
        rest, states = ([name for name in part if name not in lasting] for part in (rest, states))
    viewless = lasting & {*rest, *states}
    head = draw.choice([name for name in HEADS if name != "view" or not viewless])
    return [*rest, draw.choice(ENTRANCES), head, *states]


def spread_out(net, shape, classes):
    """Give normalisations statistics worth looking at, and a last layer by which all classes are predicted.

    Returns whether the scores differ enough from image to image.
    """
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d | nn.InstanceNorm2d):
            part.running_mean.copy_(0.3 * torch.randn(part.num_features))
            part.running_var.copy_(torch.rand(part.num_features) + 0.2)
        if isinstance(part, nn.BatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm) and part.affine:
            part.weight.data.copy_(1 + 0.5 * torch.randn(part.weight.shape))
            part.bias.data.copy_(0.3 * torch.randn(part.bias.shape))
    with torch.no_grad():
        features = net(torch.rand(32, *shape))
        net.last = nn.Linear(features.shape[1], classes)
        scores = net.last(features)
        spread, size = scores.std(dim=0).mean(), scores.abs().amax()
        scale = 2 / spread.clamp_min(1e-6)
        net.last.weight.mul_(scale)
        net.last.bias.copy_(scale * (net.last.bias - scores.mean(dim=0)))
    return bool(spread > 0.03 * size)


def put_into_state(net, name, draw):
    """Leave a network as its owner may have left it, or add what concerns it as a whole."""
    if name == "training":
        net.train()
    elif name == "partly_training":
        for part in net.modules():
            part.training = draw.random() < 0.3
    elif name == "partly_frozen":
        for parameter in net.parameters():
            parameter.requires_grad_(draw.random() < 0.5)
    elif name == "with_gradients":
        for parameter in net.parameters():
            parameter.grad = torch.randn_like(parameter) if draw.random() < 0.5 else None
    elif name == "channels_last_throughout":
        net.to(memory_format=torch.channels_last)
    elif name == "hooked_throughout":
        net.register_forward_pre_hook(lambda layer, inputs: (inputs[0] * 0.9,))
        net.last.register_forward_hook(lambda layer, inputs, scores: scores * 1.5)
    elif name == "patched_throughout":
        own = net.forward
        net.forward = lambda x: own(x) - 0.1 * own(1 - x)
    elif name == "counting_throughout":
        net.pieces.append(Counting())
    elif name == "normalised_scores":
        net.last = nn.Sequential(net.last, nn.LayerNorm(net.last.out_features))
