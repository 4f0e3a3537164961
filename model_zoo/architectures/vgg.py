"""VGG for small images (Simonyan & Zisserman 2014, arXiv:1409.1556), with one linear layer on top."""

from __future__ import annotations

from typing import cast

from torch import nn

from robench.errors import ConfigError
from robench.types import Images, Outputs

_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """VGG11, 13, 16 or 19 with batch norm, its convolutions named as in kuangliu's pytorch-cifar.

    Poolings round up, so that images smaller than 32 by 32 can be taken; at 32 by 32 nothing is rounded.

    Args:
        channels: C of the images.
        depth: 11, 13, 16 or 19.
        batch_norm: batch norm after each convolution.

    Attributes:
        feature_dim: 512.

    Raises:
        ConfigError: another depth.
    """

    feature_dim: int = _WIDTHS[-1]

    def __init__(self, *, channels: int, depth: int, batch_norm: bool = True) -> None:
        super().__init__()
        if depth not in _CONVOLUTIONS:
            raise ConfigError(expected="a VGG depth of 11, 13, 16 or 19", got=str(depth))
        layers: list[nn.Module] = []
        for count, width in zip(_CONVOLUTIONS[depth], _WIDTHS, strict=True):
            for _ in range(count):
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        if not batch_norm:  # without it, torch's own initialisation lets the signal die out
            for layer in self.features:
                if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, 512), non-negative."""
        return cast("Outputs", self.features(x).mean(dim=(2, 3)))
