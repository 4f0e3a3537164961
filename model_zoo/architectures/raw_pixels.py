"""No network at all: the pixels are the features (Wang & Osher 2019, arXiv:1907.06800, Table 2)."""

from __future__ import annotations

from torch import nn

from robench.types import Images, Outputs


class RawPixels(nn.Module):
    """Flattens images; no parameters.

    Args:
        channels: C of the images.
        size: (H, W) of the images.

    Attributes:
        feature_dim: C * H * W.
    """

    feature_dim: int

    def __init__(self, *, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.feature_dim = channels * size[0] * size[1]

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, C * H * W), the pixels in [0, 1]."""
        return x.flatten(1)
