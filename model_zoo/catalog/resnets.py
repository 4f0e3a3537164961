"""The ResNet family as recipes. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from model_zoo.papers import HE_IDENTITY, HE_RESIDUAL
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn

_RESNET = "He et al. 2015, arXiv:1512.03385"
_PREACTIVATION = "He et al. 2016, arXiv:1603.05027"


@dataclass(frozen=True, slots=True, kw_only=True)
class _CifarResNet:
    """ResNet of depth 6k + 2, with shortcuts of option A."""

    depth: ClassVar[int]

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 64 features."""
        from model_zoo.architectures.resnet import CifarResNet

        del size, classes
        return CifarResNet(channels=channels, depth=self.depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StagedResNet:
    """ResNet of one of ImageNet's depths, with a 3x3 stem and no pooling after it."""

    depth: ClassVar[int]

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 512 features, or 2,048 for depth 50."""
        from model_zoo.architectures.staged_resnet import StagedResNet

        del size, classes
        return StagedResNet(channels=channels, depth=self.depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StagedPreActResNet:
    """The same with batch norm and ReLU before the convolutions."""

    depth: ClassVar[int]
    final_norm: bool = False
    activated_shortcut: bool = True

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 512 features, or 2,048 for depth 50."""
        from model_zoo.architectures.staged_resnet import StagedPreActResNet

        del size, classes
        return StagedPreActResNet(
            channels=channels,
            depth=self.depth,
            final_norm=self.final_norm,
            activated_shortcut=self.activated_shortcut,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet20(_CifarResNet):
    """ResNet20 for CIFAR, 0.27 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet20", paper=_RESNET, bibtex=HE_RESIDUAL)
    depth: ClassVar[int] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet32(_CifarResNet):
    """ResNet32 for CIFAR, 0.46 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet32", paper=_RESNET, bibtex=HE_RESIDUAL)
    depth: ClassVar[int] = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet44(_CifarResNet):
    """ResNet44 for CIFAR, 0.66 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet44", paper=_RESNET, bibtex=HE_RESIDUAL)
    depth: ClassVar[int] = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet56(_CifarResNet):
    """ResNet56 for CIFAR, 0.85 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet56", paper=_RESNET, bibtex=HE_RESIDUAL)
    depth: ClassVar[int] = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet110(_CifarResNet):
    """ResNet110 for CIFAR, 1.7 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet110", paper=_RESNET, bibtex=HE_RESIDUAL)
    depth: ClassVar[int] = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet18(_StagedResNet):
    """ResNet18 with a stem for CIFAR, 11.2 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet18", paper=_RESNET, bibtex=HE_RESIDUAL)
    depth: ClassVar[int] = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet34(_StagedResNet):
    """ResNet34 with a stem for CIFAR, 21.3 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet34", paper=_RESNET, bibtex=HE_RESIDUAL)
    depth: ClassVar[int] = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet50(_StagedResNet):
    """ResNet50 with a stem for CIFAR, 23.5 million parameters."""

    info: ClassVar[Info] = Info(title="ResNet50", paper=_RESNET, bibtex=HE_RESIDUAL)
    depth: ClassVar[int] = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PreActResNet18(_StagedPreActResNet):
    """PreActResNet18 with a stem for CIFAR, 11.2 million parameters.

    Attributes:
        final_norm: batch norm and ReLU after the last block, as in the paper.
        activated_shortcut: project the activated input, as in the paper, rather than the input itself.
    """

    info: ClassVar[Info] = Info(title="PreActResNet18", paper=_PREACTIVATION, bibtex=HE_IDENTITY)
    depth: ClassVar[int] = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class PreActResNet34(_StagedPreActResNet):
    """PreActResNet34 with a stem for CIFAR, 21.3 million parameters.

    Attributes:
        final_norm: batch norm and ReLU after the last block, as in the paper.
        activated_shortcut: project the activated input, as in the paper, rather than the input itself.
    """

    info: ClassVar[Info] = Info(title="PreActResNet34", paper=_PREACTIVATION, bibtex=HE_IDENTITY)
    depth: ClassVar[int] = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class PreActResNet50(_StagedPreActResNet):
    """PreActResNet50 with a stem for CIFAR, 23.5 million parameters.

    Attributes:
        final_norm: batch norm and ReLU after the last block, as in the paper.
        activated_shortcut: project the activated input, as in the paper, rather than the input itself.
    """

    info: ClassVar[Info] = Info(title="PreActResNet50", paper=_PREACTIVATION, bibtex=HE_IDENTITY)
    depth: ClassVar[int] = 50
