"""Networks for small images and for none at all, as recipes. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from model_zoo.catalog.wide import check_dropout
from model_zoo.papers import WANG_OSHER, ZHANG_TRADES
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallCNN:
    """Small-CNN, the MNIST network of TRADES.

    Attributes:
        dropout: probability of dropout between the fully connected layers while training, in [0, 1).
    """

    info: ClassVar[Info] = Info(
        title="Small-CNN", paper="Zhang et al. 2019, arXiv:1901.08573", bibtex=ZHANG_TRADES
    )
    dropout: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a probability outside [0, 1)."""
        check_dropout(self.dropout)

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone for images of at least 16 by 16; 200 features."""
        from model_zoo.architectures.small_cnn import SmallCNN as Backbone

        del classes
        return Backbone(channels=channels, size=size, dropout=self.dropout)


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

    info: ClassVar[Info] = Info(
        title="raw pixels", paper="Wang & Osher 2019, arXiv:1907.06800, Table 2", bibtex=WANG_OSHER
    )

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the flattening backbone; C * H * W features, no parameters."""
        from model_zoo.architectures.raw_pixels import RawPixels as Backbone

        del classes
        return Backbone(channels=channels, size=size)
