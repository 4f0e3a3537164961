"""Small-CNN: the MNIST network of TRADES (Zhang et al. 2019, arXiv:1901.08573), without its last layer."""

from __future__ import annotations

from typing import cast

from torch import nn

from robench.errors import ConfigError
from robench.types import Images, Outputs


class SmallCNN(nn.Module):
    """conv32-conv32-pool-conv64-conv64-pool-fc200-fc200, 3x3 kernels, no padding.

    The tenth layer of TRADES, fc10, is the linear branch of `model_zoo.network.Network`.

    Args:
        channels: C of the images.
        size: (H, W) of the images, at least 16 by 16.
        dropout: probability after the first fully connected layer, 0.5 in TRADES.

    Attributes:
        feature_dim: 200.

    Raises:
        ConfigError: the images are too small for two poolings without padding.
    """

    feature_dim: int = 200

    def __init__(self, *, channels: int, size: tuple[int, int], dropout: float = 0.5) -> None:
        super().__init__()
        height, width = (_after(side) for side in size)
        if min(height, width) < 1:
            got = f"{size[0]} by {size[1]}"
            do = "Take another architecture, such as digits_cnn"
            raise ConfigError(where="small_cnn", expected="images of at least 16 by 16", got=got, do=do)
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.dense = nn.Sequential(
            nn.Linear(64 * height * width, 200),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(200, self.feature_dim),
            nn.ReLU(),
        )
        for layer in self.convolutions:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight)  # as TRADES does
                nn.init.zeros_(layer.bias)

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, 200), non-negative."""
        return cast("Outputs", self.dense(self.convolutions(x).flatten(1)))


def _after(side: int) -> int:
    """Side length after both convolution blocks."""
    return ((side - 4) // 2 - 4) // 2
