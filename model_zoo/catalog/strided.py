"""The small networks that verifiers are compared on, as recipes. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from model_zoo.papers import DATHATHRI_SDP, ZHANG_BAB_ATTACK
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class CNNA:
    """CNN-A: conv16-conv32-fc100, 4x4 kernels of stride 2, of Dathathri et al. and Wong & Kolter."""

    info: ClassVar[Info] = Info(
        title="CNN-A",
        paper="Dathathri et al. 2020, arXiv:2010.11645; Wong & Kolter 2018, arXiv:1711.00851",
        bibtex=DATHATHRI_SDP,
    )

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone for images of at least 4 by 4; 100 features."""
        from model_zoo.architectures.strided_cnn import StridedCNN

        del classes
        return StridedCNN(channels=channels, size=size, widths=(16, 32), kernel=4, padding=1, hidden=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class CNNTiny:
    """CNN-Tiny: conv4-conv8-fc128, 5x5 kernels of stride 2, of the attack by branch and bound."""

    info: ClassVar[Info] = Info(
        title="CNN-Tiny", paper="Zhang et al. 2022, arXiv:2206.06589", bibtex=ZHANG_BAB_ATTACK
    )

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone for images of at least 4 by 4; 128 features."""
        from model_zoo.architectures.strided_cnn import StridedCNN

        del classes
        return StridedCNN(channels=channels, size=size, widths=(4, 8), kernel=5, padding=2, hidden=128)
