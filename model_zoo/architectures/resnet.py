"""ResNet for CIFAR (He et al. 2015, arXiv:1512.03385, section 4.2): 16-32-64, parameter-free shortcuts."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import nn

from robench.errors import ConfigError
from robench.types import Images, Outputs, Values


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut of option A: subsample and pad with zero channels."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.stride, self.extra = stride, channels_out - channels_in

    def forward(self, x: Images) -> Values:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.extra:
            half = self.extra // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.extra - half))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    """ResNet of depth 6k + 2 for small images; depth 20 has 0.27 million parameters.

    Args:
        channels: C of the images.
        depth: 20, 32, 44, 56, 110, or any other 6k + 2.

    Attributes:
        feature_dim: 64.

    Raises:
        ConfigError: the depth is not 6k + 2.
    """

    feature_dim: int = 64

    def __init__(self, *, channels: int, depth: int) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ConfigError(
                expected="a ResNet depth of 6k + 2", got=str(depth), do="Use 20, 32, 44, 56, 110"
            )
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        blocks: list[nn.Module] = []
        width = 16
        for stage, out in enumerate((16, 32, 64)):
            for position in range((depth - 2) // 6):
                blocks.append(_Block(width, out, stride=2 if stage and position == 0 else 1))
                width = out
        self.blocks = nn.Sequential(*blocks)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, 64), non-negative."""
        return cast("Outputs", self.blocks(self.stem(x)).mean(dim=(2, 3)))
