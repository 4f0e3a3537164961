"""Small networks on which verifiers are compared: two strided convolutions, then a hidden layer."""

from __future__ import annotations

from torch import nn

from robench.errors import ConfigError


class StridedCNN(nn.Sequential):
    """Two convolutions of stride 2 and a hidden layer, ReLU after each; layers are numbered as in the files.

    Published files hold the whole network as one `Sequential`; its last layer, number 7, is the linear branch
    of `model_zoo.network.Network`.

    Args:
        channels: C of the images.
        size: (H, W) of the images, at least 4 by 4.
        widths: output channels of both convolutions.
        kernel: side of their kernels.
        padding: of their inputs.
        hidden: width of the hidden layer.

    Attributes:
        feature_dim: `hidden`.

    Raises:
        ConfigError: the images are smaller than 4 by 4.
    """

    feature_dim: int

    def __init__(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        widths: tuple[int, int],
        kernel: int,
        padding: int,
        hidden: int,
    ) -> None:
        if min(size) < 4:
            got = f"{size[0]} by {size[1]}"
            raise ConfigError(where="strided CNN", expected="images of at least 4 by 4", got=got)
        height, width = (_halved(_halved(side, kernel, padding), kernel, padding) for side in size)
        super().__init__(
            nn.Conv2d(channels, widths[0], kernel, stride=2, padding=padding),
            nn.ReLU(),
            nn.Conv2d(widths[0], widths[1], kernel, stride=2, padding=padding),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(widths[1] * height * width, hidden),
            nn.ReLU(),
        )
        self.feature_dim = hidden


def _halved(side: int, kernel: int, padding: int) -> int:
    """Side length after a convolution of stride 2."""
    return (side + 2 * padding - kernel) // 2 + 1
