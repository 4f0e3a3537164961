"""The VGG family as recipes. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from model_zoo.papers import SIMONYAN_VGG
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn

_PAPER = "Simonyan & Zisserman 2014, arXiv:1409.1556"


@dataclass(frozen=True, slots=True, kw_only=True)
class _VGG:
    """VGG with one linear layer on top.

    Attributes:
        batch_norm: batch norm after each convolution.
    """

    depth: ClassVar[int]
    batch_norm: bool = True

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 512 features."""
        from model_zoo.architectures.vgg import VGG

        del size, classes
        return VGG(channels=channels, depth=self.depth, batch_norm=self.batch_norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class VGG11(_VGG):
    """VGG11 for CIFAR, 9.2 million parameters.

    Attributes:
        batch_norm: batch norm after each convolution.
    """

    info: ClassVar[Info] = Info(title="VGG11", paper=_PAPER, bibtex=SIMONYAN_VGG)
    depth: ClassVar[int] = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class VGG13(_VGG):
    """VGG13 for CIFAR, 9.4 million parameters.

    Attributes:
        batch_norm: batch norm after each convolution.
    """

    info: ClassVar[Info] = Info(title="VGG13", paper=_PAPER, bibtex=SIMONYAN_VGG)
    depth: ClassVar[int] = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class VGG16(_VGG):
    """VGG16 for CIFAR, 14.7 million parameters.

    Attributes:
        batch_norm: batch norm after each convolution.
    """

    info: ClassVar[Info] = Info(title="VGG16", paper=_PAPER, bibtex=SIMONYAN_VGG)
    depth: ClassVar[int] = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class VGG19(_VGG):
    """VGG19 for CIFAR, 20.0 million parameters.

    Attributes:
        batch_norm: batch norm after each convolution.
    """

    info: ClassVar[Info] = Info(title="VGG19", paper=_PAPER, bibtex=SIMONYAN_VGG)
    depth: ClassVar[int] = 19
