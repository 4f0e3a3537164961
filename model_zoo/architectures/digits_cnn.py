"""A tiny network for images of about 8x8 pixels, such as scikit-learn's digits."""

from __future__ import annotations

from typing import cast

from torch import nn

from robench.errors import ConfigError
from robench.types import Images, Outputs


class DigitsCNN(nn.Module):
    """conv16-pool-conv32-pool-fc64, 3x3 kernels with padding: Small-CNN in miniature.

    Args:
        channels: C of the images.
        size: (H, W) of the images, at least 4 by 4.

    Attributes:
        feature_dim: 64.

    Raises:
        ConfigError: the images are smaller than 4 by 4.
    """

    feature_dim: int = 64

    def __init__(self, *, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        if min(size) < 4:
            got = f"{size[0]} by {size[1]}"
            raise ConfigError(where="digits_cnn", expected="images of at least 4 by 4", got=got)
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        inputs = 32 * (size[0] // 4) * (size[1] // 4)
        self.dense = nn.Sequential(nn.Linear(inputs, self.feature_dim), nn.ReLU())

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, 64), non-negative."""
        return cast("Outputs", self.dense(self.convolutions(x).flatten(1)))
