"""Attacks run the plain way: on the user's module in eval mode, asked about copies of the images.

Nothing is prepared, folded or laid out anew here; what the toolkit says has to agree with it.
"""

import torch
import torch.nn.functional as F
from torch import nn

from robench.api import wrap
from robench.attack.oracle import Oracle
from robench.attack.protocol import run_attack
from robench.judge.verdict import landing
from robench.randomness import Randomness, seed_from


class Untouched(nn.Module):
    """A module asked about copies of the images.

    With a `nudge` every pixel is changed by up to so small a part of itself, and its gradient by up to so
    small a part of the largest one of the image, by each `seed` in another way: as rounding might.
    """

    def __init__(self, net, *, nudge=0.0, seed=0):
        super().__init__()
        self.net, self.nudge, self.seed = net, nudge, seed

    def forward(self, x):
        if not self.nudge:
            return self.net(x.clone())
        draw = torch.Generator().manual_seed(self.seed)
        pattern = self.nudge * (2 * torch.rand(x.shape[1:], generator=draw) - 1)
        x = x * (1 + pattern)
        if x.requires_grad:
            x.register_hook(lambda slope: slope + pattern * slope.abs().amax(dim=(1, 2, 3), keepdim=True))
        return self.net(x)


def ascended(net, x, y, *, eps, step_size, steps):
    """Signed steps up the cross-entropy: the last point, and which images (B,) were ever wrong on the way."""
    x_adv, wrong = x.clone(), torch.zeros(len(x), dtype=torch.bool)
    for _ in range(steps):
        point = x_adv.clone().requires_grad_(True)
        outputs = net(point)
        (gradient,) = torch.autograd.grad(F.cross_entropy(outputs, y, reduction="sum"), point)
        wrong |= outputs.argmax(dim=1) != y
        step = x_adv + step_size * gradient.sign()
        x_adv = torch.minimum(torch.maximum(step, x - eps), x + eps).clamp(0, 1)
    with torch.no_grad():
        return x_adv, wrong | (net(x_adv).argmax(dim=1) != y)


def crafted(net, x, y, attack, threat, *, classes, seed):
    """The attack as it is, asking `net` itself: where it ends, and which images (B,) are wrong there."""
    oracle = Oracle(
        wrap(net, name="plain", classes=classes), x, y, threat,
        drop=not attack.info.minimises, minimise=attack.info.minimises,
    )  # fmt: skip
    stream = Randomness(seed_from(seed, "craft"), torch.arange(len(x)), (type(attack).__name__, "exact"))
    last = run_attack(attack, oracle, stream)
    point = landing(x, oracle.proposal(last.detach()), threat).point
    with torch.no_grad():
        return point, net(point).argmax(dim=1) != y


def margins(net, x, y):
    """How far each image (B,) is from another class, as a part of the largest score of all."""
    with torch.no_grad():
        scores = net(x)
    others = scores.scatter(1, y[:, None], -torch.inf).amax(dim=1)
    return (scores.gather(1, y[:, None])[:, 0] - others).abs() / scores.abs().amax()
