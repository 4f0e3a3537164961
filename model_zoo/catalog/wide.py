"""WideResNets as recipes. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from model_zoo.papers import ZAGORUYKO_WIDE
from robench.errors import ConfigError
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn

_PAPER = "Zagoruyko & Komodakis 2016, arXiv:1605.07146"


@dataclass(frozen=True, slots=True, kw_only=True)
class WideResNet:
    """WideResNet of any depth and width, as in TRADES and RobustBench.

    Attributes:
        depth: 6k + 4, such as 28 or 34.
        width: what 16-32-64 channels are multiplied with.
        dropout: probability of dropout inside a block while training, in [0, 1).
    """

    info: ClassVar[Info] = Info(title="WideResNet", paper=_PAPER, bibtex=ZAGORUYKO_WIDE)
    depth: int = 28
    width: int = 10
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a probability outside [0, 1)."""
        check_dropout(self.dropout)

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 64 * width features.

        Raises:
            ConfigError: the depth is not 6k + 4, or the width is below 1.
        """
        from model_zoo.architectures.wide_resnet import WideResNet as Backbone

        del size, classes
        return Backbone(channels=channels, depth=self.depth, width=self.width, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class WideResNet34x10:
    """WideResNet34-10 of TRADES, 46.2 million parameters.

    Attributes:
        dropout: probability of dropout inside a block while training, in [0, 1).
    """

    info: ClassVar[Info] = Info(title="WideResNet34-10", paper=_PAPER, bibtex=ZAGORUYKO_WIDE)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a probability outside [0, 1)."""
        check_dropout(self.dropout)

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 640 features."""
        made = WideResNet(depth=34, width=10, dropout=self.dropout)
        return made(channels=channels, size=size, classes=classes)


def check_dropout(dropout: float) -> None:
    """Refuse a probability outside [0, 1).

    Raises:
        ConfigError: it is.
    """
    if not 0 <= dropout < 1:
        raise ConfigError(expected="dropout in [0, 1)", got=str(dropout))
