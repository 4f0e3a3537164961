"""Defenses that the field took for robust because their gradients mislead, small enough for a test."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from robench.data.images import image_set
from robench.model.interface import Model


class KWinners(nn.Module):
    """Keep a layer's largest activations and set the others to zero (Xiao et al. 2020, arXiv:1905.10510).

    Which ones are largest changes with every step, so that a loss jumps all along the way of an ascent.
    """

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, z):
        flat = z.flatten(1)
        least = flat.topk(max(1, int(self.share * flat.shape[1])), dim=1).values[:, -1:]
        return (flat * (flat >= least)).view_as(z)


class MeanSparse(nn.Module):
    """Set what lies near its channel's mean to the mean (Amini et al. 2024, arXiv:2406.05927), behind a ReLU.

    Inside that band the gradient is zero, and at its ends the value jumps.
    """

    def __init__(self, width, spread):
        super().__init__()
        self.spread, self.smooth = spread, True
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, z):
        if self.training:
            self.mean.copy_(z.detach().mean(dim=0))
            self.deviation.copy_(z.detach().std(dim=0))
        if not self.smooth:
            z = torch.where((z - self.mean).abs() <= self.spread * self.deviation, self.mean, z)
        return F.relu(z)


class _Adjoint(torch.autograd.Function):
    """Solve an ODE forward by many steps, and its adjoint backward by few, as adaptive solvers do."""

    @staticmethod
    def forward(ctx, z, weight, steps, back):
        ctx.back = back
        for _ in range(steps):
            z = z + torch.tanh(z @ weight.T) / steps
        ctx.save_for_backward(z, weight)
        return z

    @staticmethod
    def backward(ctx, grad):
        z, weight = ctx.saved_tensors
        for _ in range(ctx.back):
            slope = 1 - torch.tanh(z @ weight.T).square()
            grad = grad + ((grad * slope) @ weight) / ctx.back
            z = z - torch.tanh(z @ weight.T) / ctx.back
        return grad, None, None, None


class StiffODE(nn.Module):
    """A neural ODE with an adjoint too coarse to be the gradient (Huang et al. 2022, arXiv:2009.13145)."""

    def __init__(self, width, steps=40, back=2, stiffness=12.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.steps, self.back, self.stiffness, self.smooth = steps, back, stiffness, True

    def forward(self, z):
        weight = self.weight * self.stiffness
        if self.smooth:
            for _ in range(self.steps):
                z = z + torch.tanh(z @ weight.T) / self.steps
            return z
        return _Adjoint.apply(z, weight, self.steps, self.back)


def digits():
    """Return training images and labels, and a set of 200 images to evaluate."""
    bunch = load_digits()
    x = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(bunch.target)
    return x[:1400], y[:1400], image_set(x[1400:1600], y[1400:1600], name="digits", classes=10)


WIDTH = 64


def network(name):
    """Return a network with the layer that misleads, and that layer."""
    if name == "kwta":
        layer = KWinners(0.1)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 512), layer, nn.Linear(512, 10)), layer
    if name == "mean-sparse":
        layer = MeanSparse(256, spread=1.0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 256), layer, nn.Linear(256, 10)), layer
    if name == "relu":
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)), None
    layer = StiffODE(WIDTH)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), layer, nn.Linear(WIDTH, 10)), layer


def trained(name):
    """Return a defense, or the plain network `relu`, trained on digits."""
    x, y, _ = digits()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, layer = network(name)
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        net.train()
        for _ in range(12):
            for rows in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(net(x[rows]), y[rows]).backward()
                optimizer.step()
        if isinstance(layer, MeanSparse):
            with torch.no_grad():
                net(x)
    net.eval()
    if isinstance(layer, MeanSparse | StiffODE):
        layer.smooth = False
    return Model(name=name, net=net, classes=10)
