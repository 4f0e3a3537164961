"""Models that are broken on purpose, each in one way, and a sound one: what findings must tell apart."""

import torch
from torch import nn

from robench.data.images import image_set
from robench.model.interface import GradientSource, Model, OutputKind


class Sound(nn.Module):
    """A small smooth network; it learns the toy below in a moment."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))

    def forward(self, x):
        return self.body(x)


class Through(nn.Module):
    """Another network's logits, changed."""

    def __init__(self, net, change, before=lambda x: x):
        super().__init__()
        self.net, self.change, self.before = net, change, before

    def forward(self, x):
        return self.change(self.net(self.before(x)))


def data(count=120, seed=0):
    """Four classes: which quarter of a 4x4 image is bright."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 4
    x = 0.3 * torch.rand(count, 1, 4, 4, generator=g)
    for row in range(count):
        top, left = divmod(int(y[row]), 2)
        x[row, 0, 2 * top : 2 * top + 2, 2 * left : 2 * left + 2] += 0.4
    return image_set(x, y, name="quarters", classes=4)


def sound():
    """Return the trained network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Sound()
    x, y = data(seed=1).batch(slice(None))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net.eval()


class Noisy(nn.Module):
    """Draws fresh noise at every call from a generator of its own."""

    def __init__(self, net):
        super().__init__()
        self.net, self.generator = net, torch.Generator().manual_seed(0)

    def forward(self, x):
        return self.net(x) + 0.5 * torch.randn(len(x), 4, generator=self.generator)


def wavy(z):
    """Add ripples far finer than any step: every gradient points nowhere."""
    return z + 1e-3 * torch.sin(1e6 * z)


def rounded(x):
    return (x * 8).round() / 8


def not_a_number(z):
    return torch.where(z.amax(dim=1, keepdim=True) > z.amax(dim=1).median(), torch.nan, z)


def argmax_only(z):
    return nn.functional.one_hot(z.argmax(dim=1), 4).to(z.dtype)


def broken(net):
    """Return name -> (model, the finding it must raise)."""
    changes = {
        "rounded": (Through(net, lambda z: z, rounded), "no-gradient"),
        "saturated": (Through(net, lambda z: 1e3 * z), "saturated-output"),
        "flattened": (Through(net, lambda z: 0.01 * z), "flat-output"),
        "exploding": (Through(net, lambda z: 1e7 * z), "exploding-output"),
        "randomised": (Noisy(net), "random-output"),
        "batch-dependent": (Through(net, lambda z: z - z.mean(dim=0)), "batch-dependence"),
        "nan": (Through(net, not_a_number), "nonfinite-output"),
        "argmax-only": (Through(net, argmax_only), "label-only"),
        "probabilities as logits": (Through(net, lambda z: z.softmax(1)), "undeclared-simplex"),
        "wavy": (Through(net, wavy), "wrong-gradient"),
    }
    networks = {
        name: (Model(name=name, net=variant, classes=4), code) for name, (variant, code) in changes.items()
    }
    flat = Through(net, lambda z: (0.01 * z).softmax(1))
    networks["flat probabilities"] = (
        Model(name="m", net=flat, classes=4, output=OutputKind.SIMPLEX), "flat-output",
    )  # fmt: skip
    for kind in (OutputKind.SIMPLEX, OutputKind.LOG_PROBABILITIES):
        networks[f"logits as {kind.value}"] = (
            Model(name="m", net=net, classes=4, output=kind), "not-a-distribution",
        )  # fmt: skip
    return {**networks, "jumpy": (behind(net, Through(net, jumpy)), "unstable-predictions")}


def behind(smooth, own, name="behind"):
    """Return a model that lends a smooth network's gradient in place of its own."""
    source = GradientSource("surrogate", lambda x: (smooth(x), own(x)), OutputKind.LOGITS, forwards=2)
    return Model(name=name, net=own, classes=4, sources={"surrogate": source})


def jumpy(z):
    """Add steps of the size of the logits, far finer than any step of an attack."""
    return z + torch.sign(torch.sin(1e5 * z))


def controls(net):
    """Return models that are as they should be."""
    return {
        "logits": Model(name="logits", net=net, classes=4),
        "simplex": Model(
            name="simplex", net=Through(net, lambda z: z.softmax(1)), classes=4, output=OutputKind.SIMPLEX
        ),
        "log": Model(
            name="log",
            net=Through(net, lambda z: z.log_softmax(1)),
            classes=4,
            output=OutputKind.LOG_PROBABILITIES,
        ),
    }


class Plateaus(nn.Module):
    """The brightest quarter, by means cut off at both ends: constant around many images, and certainly right.

    A pixel change of eps moves a mean by at most eps, and between two plateaus there is a slope.
    """

    def __init__(self, low=0.18, high=0.52):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x):
        parts = x[:, 0].unfold(1, 2, 2).unfold(2, 2, 2).flatten(1, 2).flatten(2).mean(dim=2)
        return 8 * ((parts - self.low) / (self.high - self.low)).clamp(0, 1)


class Snapped(nn.Module):
    """A network that answers for the nearest of some images where one is within a radius in every pixel."""

    def __init__(self, net, images, radius):
        super().__init__()
        self.net, self.images, self.radius = net, images, radius

    def forward(self, x):
        away = (x[:, None] - self.images[None]).abs().flatten(2).amax(dim=2)
        least, nearest = away.min(dim=1)
        near = (least < self.radius).view(-1, 1, 1, 1)
        return self.net(torch.where(near, self.images[nearest], x))


class PartlyRounded(nn.Module):
    """Steps in place of slopes for images whose first pixel is dark."""

    def __init__(self, net, below):
        super().__init__()
        self.net, self.below = net, below

    def forward(self, x):
        dark = (x[:, :, :1, :1] < self.below).expand_as(x)
        return self.net(torch.where(dark, rounded(x), x))


class Quarters(nn.Module):
    """The brightest quarter, by the mean of its pixels or by one of them alone."""

    def __init__(self, pixel):
        super().__init__()
        self.pixel = pixel

    def forward(self, x):
        parts = x[:, 0].unfold(1, 2, 2).unfold(2, 2, 2).flatten(1, 2).flatten(2)
        return 20 * (parts[:, :, 0] if self.pixel else parts.mean(dim=2))
