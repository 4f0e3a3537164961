"""ResNet and PreActResNet of ImageNet's depths with a stem for small images: 64-128-256-512."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from model_zoo.architectures.residual_blocks import Block, PreActivationBlock, stage
from robench.errors import ConfigError
from robench.types import Images, Outputs

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_WIDTHS = (64, 128, 256, 512)


class _Staged(nn.Module):
    """A 3x3 stem without pooling, four stages, and the mean over places; see the two classes below."""

    feature_dim: int

    def __init__(self, *, channels: int, depth: int, kind: type[nn.Module], **options: bool) -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise ConfigError(expected="a ResNet depth of 18, 34 or 50", got=str(depth))
        bottleneck = depth >= 50
        make = partial(kind, bottleneck=bottleneck, **options)
        self.conv1 = nn.Conv2d(channels, _WIDTHS[0], 3, padding=1, bias=False)
        into = _WIDTHS[0]
        for place, (blocks, width) in enumerate(zip(_BLOCKS[depth], _WIDTHS, strict=True), start=1):
            out = 4 * width if bottleneck else width
            stride = 1 if place == 1 else 2
            self.add_module(
                f"layer{place}",
                stage(make, blocks=blocks, channels=into, width=width, out=out, stride=stride),
            )
            into = out
        self.feature_dim = into

    def _stages(self, x: Tensor) -> Tensor:
        for place in range(1, 1 + len(_WIDTHS)):
            x = cast("Tensor", getattr(self, f"layer{place}")(x))
        return x


class StagedResNet(_Staged):
    """ResNet18, 34 or 50 with a stem for CIFAR (He et al. 2015, arXiv:1512.03385).

    Parameters are named as in https://github.com/kuangliu/pytorch-cifar and RobustBench.

    Args:
        channels: C of the images.
        depth: 18, 34 or 50.

    Attributes:
        feature_dim: 512, or 2048 for depth 50.

    Raises:
        ConfigError: another depth.
    """

    def __init__(self, *, channels: int, depth: int) -> None:
        super().__init__(channels=channels, depth=depth, kind=Block)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, `feature_dim`), non-negative."""
        return self._stages(F.relu(self.bn1(self.conv1(x)))).mean(dim=(2, 3))


class StagedPreActResNet(_Staged):
    """PreActResNet18, 34 or 50 with a stem for CIFAR (He et al. 2016, arXiv:1603.05027).

    The defaults are those of https://github.com/kuangliu/pytorch-cifar, which has no batch norm after the
    last block. Parameters are named as there and in RobustBench.

    Args:
        channels: C of the images.
        depth: 18, 34 or 50.
        final_norm: batch norm and ReLU after the last block, as in the paper.
        activated_shortcut: project the activated input, as in the paper, rather than the input itself.

    Attributes:
        feature_dim: 512, or 2048 for depth 50.

    Raises:
        ConfigError: another depth.
    """

    def __init__(
        self, *, channels: int, depth: int, final_norm: bool = False, activated_shortcut: bool = True
    ) -> None:
        super().__init__(
            channels=channels, depth=depth, kind=PreActivationBlock, activated=activated_shortcut
        )
        self.bn: nn.Module | None = nn.BatchNorm2d(self.feature_dim) if final_norm else None

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to features (B, `feature_dim`)."""
        out = self._stages(self.conv1(x))
        if self.bn is not None:
            out = F.relu(self.bn(out))
        return out.mean(dim=(2, 3))
