"""The architectures a configuration can name, as recipes. No torch at import.

A recipe's call takes the shape of the images and gives a backbone: an `nn.Module` that maps images
(B, C, H, W) in [0, 1] to features (B, D) and says D in `feature_dim`. A plugin whose module has no
`feature_dim` is taken for a whole classifier and kept intact, like a torchvision model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from robench.errors import ConfigError
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn


class Architecture(Protocol):
    """The contract of a plugin in the group `robench.models`."""

    info: ClassVar[Info]

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the network with weights drawn from torch's global generator, which the caller seeds.

        Args:
            channels: C of the images.
            size: (H, W) of the images.
            classes: number of classes; backbones do not need it.

        Raises:
            ConfigError: the network cannot take images of this shape.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallCNN:
    """Small-CNN, the MNIST network of TRADES.

    Attributes:
        dropout: probability of dropout between the fully connected layers while training, in [0, 1).
    """

    info: ClassVar[Info] = Info(title="Small-CNN", paper="Zhang et al. 2019, arXiv:1901.08573")
    dropout: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a probability outside [0, 1)."""
        if not 0 <= self.dropout < 1:
            raise ConfigError(expected="dropout in [0, 1)", got=str(self.dropout))

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone for images of at least 16 by 16; 200 features."""
        from model_zoo.architectures.small_cnn import SmallCNN as Backbone

        del classes
        return Backbone(channels=channels, size=size, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet20:
    """ResNet20 for CIFAR, 0.27 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet20", paper="He et al. 2015, arXiv:1512.03385")

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 64 features."""
        from model_zoo.architectures.resnet import CifarResNet

        del size, classes
        return CifarResNet(channels=channels, depth=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsCNN:
    """A tiny network for 8x8 digits, for examples and tests that run in seconds."""

    info: ClassVar[Info] = Info(title="Digits-CNN", paper="none; Small-CNN in miniature")

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone for images of at least 4 by 4; 64 features."""
        from model_zoo.architectures.digits_cnn import DigitsCNN as Backbone

        del classes
        return Backbone(channels=channels, size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPixels:
    """The pixels themselves as features, for WNLL without a network."""

    info: ClassVar[Info] = Info(title="raw pixels", paper="Wang & Osher 2019, arXiv:1907.06800, Table 2")

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the flattening backbone; C * H * W features, no parameters."""
        from model_zoo.architectures.raw_pixels import RawPixels as Backbone

        del classes
        return Backbone(channels=channels, size=size)
