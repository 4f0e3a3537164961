"""The small networks and images that plugins are checked on, the same in every check."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.data.images import ImageSet, image_set
from robench.model.interface import Coupling, Model, OutputKind
from robench.model.noise import noise_of
from robench.types import Images, Mask, Outputs

SHAPE = (3, 8, 8)
COUNT = 12


def toy_images(count: int = COUNT, seed: int = 0) -> Images:
    """Return images (B, 3, 8, 8) in [0, 1]; some of their pixels are exactly 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    return (1.2 * torch.rand(count, *SHAPE, generator=generator) - 0.1).clamp(0, 1)


class ToyNet(nn.Module):
    """Two layers whose arithmetic for an image does not depend on the rest of its batch.

    That of a matrix product does: its order of summation depends on the batch size. Here every image is
    multiplied and summed alone, so any difference between batches, in any bit, comes from the plugin.

    Args:
        classes: number of classes K.
        output: kind of the output rows.
        joint: let each image see the mean of its batch.
        bad: which images get NaN as outputs and gradients: none, `half` (those that are bright in one
            corner), or `all`.
        rectified: use only linear layers and a ReLU, for attacks that accept no other layers. Its arithmetic
            does depend on the batch; such attacks ask about one image at a time.
    """

    def __init__(
        self,
        classes: int,
        output: OutputKind = OutputKind.LOGITS,
        *,
        joint: bool = False,
        bad: str = "none",
        rectified: bool = False,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(classes)
        size, width = SHAPE[0] * SHAPE[1] * SHAPE[2], 8
        self.first = nn.Parameter(torch.randn(width, size, generator=generator) / 4)
        self.second = nn.Parameter(torch.randn(classes, width, generator=generator))
        self.register_buffer("middle", torch.tensor(0.5))
        self.part = nn.Identity()
        self.output, self.joint, self.bad, self.rectified = output, joint, bad, rectified
        self.batches: list[int] = []

    def forward(self, x: Images) -> Outputs:
        """Map images (B, 3, 8, 8) to outputs (B, K); note the size of the batch."""
        if isinstance(x, Tensor):  # a real tensor, not a `torch.fx.Proxy`
            self.batches.append(len(x))
        if self.joint:
            x = x + 0.05 * (x.mean(dim=0, keepdim=True) - 0.5)
        z = self.part(x - self.get_buffer("middle")).flatten(1)
        if self.rectified:
            scores = functional.linear(functional.linear(z, self.first).relu(), self.second)
        else:
            activations = (z[:, None, :] * self.first).sum(dim=2).tanh()
            scores = (activations[:, None, :] * self.second).sum(dim=2)
        if self.output is OutputKind.LOG_PROBABILITIES:
            scores = scores.log_softmax(dim=1)
        if self.output is OutputKind.SIMPLEX:
            scores = scores.softmax(dim=1)
        return scores if self.bad == "none" else scores * self._factor(x)

    def _factor(self, x: Images) -> Tensor:
        factor = x.new_ones(len(x), 1)
        if self.bad == "half":
            return factor.masked_fill(bright(x)[:, None], torch.nan)
        return factor * torch.nan if self.bad == "all" else factor


def bright(x: Images) -> Mask:
    """Tell which images (B, C, H, W) are bright in the first corner, (B,)."""
    return x[:, :, :2, :2].detach().flatten(1).mean(dim=1) > 0.5


def toy_model(
    classes: int = 10,
    output: OutputKind = OutputKind.LOGITS,
    *,
    joint: bool = False,
    bad: str = "none",
    rectified: bool = False,
) -> Model:
    """Return a ToyNet as a model; one part is in training mode, and one parameter has a gradient."""
    net = ToyNet(classes, output, joint=joint, bad=bad, rectified=rectified).eval()
    net.part.train()
    net.second.grad = torch.ones_like(net.second)
    coupling = Coupling.JOINT if joint else Coupling.INDEPENDENT
    return Model(name="toy", net=net, classes=classes, output=output, coupling=coupling)


class Shaken(nn.Module):
    """Adds normal noise, like a network with random answers; see `robench.model.noise`."""

    random = True

    def forward(self, z: Images) -> Images:
        """Return z (B, C, H, W) plus noise, in evaluation a function of z alone."""
        noise = torch.randn_like(z) if self.training else noise_of(z, seed=0, use="toy").normal(z)
        return z + 0.1 * noise


class ToyBranches(nn.Module):
    """Features, buffer and linear branch, like the networks that defenses train and heads use.

    Args:
        channels: C of the images, which are 8 by 8.
        classes: number of classes K.
        noisy: whether its answers are random.
    """

    def __init__(self, channels: int, classes: int, *, noisy: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.backbone = nn.Sequential(
                nn.Conv2d(channels, 6, 3, stride=2, padding=1),
                nn.BatchNorm2d(6),
                nn.ReLU(),
                Shaken() if noisy else nn.Identity(),
                nn.Flatten(),
                nn.Dropout(0.1),
            )
            self.buffer = nn.Sequential(nn.Linear(96, 12), nn.ReLU())
            self.linear = nn.Linear(12, classes)

    def features(self, x: Images) -> Outputs:
        """Map images (B, C, 8, 8) to features (B, 12)."""
        outputs: Outputs = self.buffer(self.backbone(x))
        return outputs

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, 8, 8) to logits (B, K)."""
        outputs: Outputs = self.linear(self.features(x))
        return outputs


def toy_data(count: int = 96, classes: int = 2, *, channels: int = 1, split: str = "train") -> ImageSet:
    """Return images (N, C, 8, 8) that are easy to learn: each class has a pattern of its own, plus noise."""
    patterns = torch.rand(classes, channels, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(count) % classes
    generator = torch.Generator().manual_seed(2 if split == "train" else 3)
    noise = torch.randn(count, channels, 8, 8, generator=generator)
    images = (patterns[labels] + 0.1 * noise).clamp(0, 1)
    return image_set((images * 255).to(torch.uint8), labels, name="toy", split=split, classes=classes)
