"""WideResNet (Zagoruyko & Komodakis 2016, arXiv:1605.07146), as TRADES and RobustBench have it."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import nn

from model_zoo.architectures.residual_blocks import PreActivationBlock, stage
from robench.errors import ConfigError
from robench.types import Images, Outputs


class WideResNet(nn.Module):
    """WideResNet of depth 6k + 4 for small images; depth 34 and width 10 have 46.16 million parameters.

    Args:
        channels: C of the images.
        depth: 6k + 4, such as 28 or 34.
        width: factor on the 16-32-64 channels.
        dropout: probability of dropout between the convolutions of a block while training.

    Attributes:
        feature_dim: 64 * width.

    Raises:
        ConfigError: the depth is not 6k + 4, or the width is below 1.
    """

    feature_dim: int

    def __init__(self, *, channels: int, depth: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ConfigError(
                expected="a WideResNet depth of 6k + 4", got=str(depth), do="Use 16, 28, 34, 70"
            )
        if width < 1:
            raise ConfigError(expected="a WideResNet width of at least 1", got=str(width))
        make = partial(PreActivationBlock, dropout=dropout)
        blocks = (depth - 4) // 6
        out = [16 * width, 32 * width, 64 * width]
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.block1 = stage(make, blocks=blocks, channels=16, width=out[0], out=out[0], stride=1)
        self.block2 = stage(make, blocks=blocks, channels=out[0], width=out[1], out=out[1], stride=2)
        self.block3 = stage(make, blocks=blocks, channels=out[1], width=out[2], out=out[2], stride=2)
        self.bn1 = nn.BatchNorm2d(out[2])
        self.feature_dim = out[2]
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, 64 * width), non-negative."""
        out = self.block3(self.block2(self.block1(self.conv1(x))))
        return F.relu(self.bn1(out)).mean(dim=(2, 3))
