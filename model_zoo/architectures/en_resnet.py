"""ResNets with noise in every block, averaged: a Feynman-Kac ensemble (Wang et al. 2018, 1811.10745)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from model_zoo.architectures.resnet import CifarResNet
from robench.model.noise import noise_of
from robench.randomness import Randomness
from robench.types import Images, Outputs


class EnResNet(nn.Module):
    """Parallel ResNets x_{l+1} = x_l + F(x_l) + a std(x_l + F(x_l)) N(0, I), their features side by side.

    Wang, Yuan, Shi & Osher 2018 (arXiv:1811.10745): a mean over paths of this random walk approximates, by
    the Feynman-Kac formula, the solution of a transport equation with diffusion. Noise and coefficient a are
    those of the authors' code (https://github.com/BaoWangMath/EnResNet): added to what a block returns, in
    training and at evaluation.
    Two things differ. The deviation is computed for each image alone; theirs is one number for the whole
    batch, so that an image's answer does not depend on its neighbours. And the blocks are those of
    `CifarResNet`, with the ReLU last and shortcuts of option A, where theirs are pre-activation blocks.

    Every member's features are divided by the number of members, so a linear branch on top gives the mean of
    the members' logits, each member with its own weights and all with one bias. Noise in training comes from
    torch's global generator, as dropout does. At evaluation it is a function of the image, the seed and the
    current draw (`robench.model.noise`), taken once from the image that comes in.

    Args:
        channels: C of the images.
        depth: of every member, 6k + 2.
        members: how many ResNets, at least 1.
        noise: the coefficient a, at least 0.
        seed: of the noise at evaluation.

    Attributes:
        feature_dim: 64 * members.
        random: whether answers depend on the draw, so that an attacker needs the gradient source
            `expectation`.

    Raises:
        ConfigError: the depth is not 6k + 2.
    """

    feature_dim: int
    random: bool

    def __init__(self, *, channels: int, depth: int, members: int, noise: float, seed: int = 0) -> None:
        super().__init__()
        self.members = nn.ModuleList(CifarResNet(channels=channels, depth=depth) for _ in range(members))
        self.noise, self.seed, self.random = noise, seed, noise > 0
        self.feature_dim = CifarResNet.feature_dim * members

    def extra_repr(self) -> str:
        """Return the settings that decide the answers beside the weights."""
        return f"noise={self.noise}, seed={self.seed}"

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, 64 * members)."""
        randomness = None
        if self.random and not self.training:
            randomness = noise_of(x, seed=self.seed, use="en_resnet")
        parts = [
            self._walked(
                cast("CifarResNet", member), x, randomness.split("member", number) if randomness else None
            )
            for number, member in enumerate(self.members)
        ]
        return torch.cat(parts, dim=1) / len(parts)

    def _walked(self, member: CifarResNet, x: Images, randomness: Randomness | None) -> Outputs:
        """Return a member's features (B, 64)."""
        z: Tensor = member.stem(x)
        for block in member.blocks:
            z = block(z)
            if self.random:
                z = shaken(z, self.noise, randomness)
        return z.mean(dim=(2, 3))


def shaken(z: Images, noise: float, randomness: Randomness | None) -> Images:
    """Return z (B, C, H, W) plus normal numbers of deviation noise * std(z), the std over each image's own.

    Drawn in float32 whatever z is: in bfloat16 a uniform number rounds to 1, and its normal to infinity.

    Args:
        z: output of a block; the gradient goes through its deviation too.
        noise: coefficient of the deviation.
        randomness: streams of the images; None draws from the global generator.
    """
    like = torch.empty_like(z, dtype=torch.float32)
    normal = torch.randn_like(like) if randomness is None else randomness.normal(like)
    deviation = z.float().flatten(1).std(dim=1)[:, None, None, None]
    return z + (noise * deviation * normal).to(z.dtype)
