"""Residual blocks and stages that several families share; parameters are named as in published code."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from robench.types import Images, Values

BlockMaker = Callable[[int, int, int], nn.Module]
"""Channels in, width and stride to a block."""


class Block(nn.Module):
    """Convolutions each followed by batch norm, and a projected shortcut (He et al. 2015, arXiv:1512.03385).

    Args:
        channels: channels in.
        width: channels of the 3x3 convolutions.
        stride: of the first 3x3 convolution and of the shortcut.
        bottleneck: 1x1, 3x3, 1x1 with four times the width out, rather than 3x3, 3x3.
    """

    def __init__(self, channels: int, width: int, stride: int, *, bottleneck: bool = False) -> None:
        super().__init__()
        self.convolutions = _add_convolutions(self, channels, width, stride, bottleneck)
        for number in range(1, self.convolutions + 1):
            self.add_module(f"bn{number}", nn.BatchNorm2d(_convolution(self, number).out_channels))
        out = _convolution(self, self.convolutions).out_channels
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out:
            self.shortcut.append(nn.Conv2d(channels, out, 1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(out))

    def forward(self, x: Images) -> Values:
        """Map activations (B, C, H, W) to (B, C', H', W'), non-negative."""
        out = x
        for number in range(1, self.convolutions + 1):
            out = _norm(self, number)(_convolution(self, number)(out))
            if number < self.convolutions:
                out = F.relu(out)
        return F.relu(out + cast("Tensor", self.shortcut(x)))


class PreActivationBlock(nn.Module):
    """Batch norm and ReLU before each convolution (He et al. 2016, arXiv:1603.05027).

    Args:
        channels: channels in.
        width: channels of the 3x3 convolutions.
        stride: of the first 3x3 convolution and of the shortcut.
        bottleneck: 1x1, 3x3, 1x1 with four times the width out, rather than 3x3, 3x3.
        activated: project the activated input, as He et al. do, rather than the input itself.
        dropout: probability of dropout before the last convolution while training.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        stride: int,
        *,
        bottleneck: bool = False,
        activated: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.convolutions = _add_convolutions(self, channels, width, stride, bottleneck)
        for number in range(1, self.convolutions + 1):
            self.add_module(f"bn{number}", nn.BatchNorm2d(_convolution(self, number).in_channels))
        out = _convolution(self, self.convolutions).out_channels
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out:
            self.shortcut.append(nn.Conv2d(channels, out, 1, stride=stride, bias=False))
        self.activated, self.dropout = activated, dropout

    def forward(self, x: Images) -> Values:
        """Map activations (B, C, H, W) to (B, C', H', W')."""
        out = F.relu(_norm(self, 1)(x))
        projects = len(self.shortcut) > 0
        past = cast("Tensor", self.shortcut(out if self.activated else x)) if projects else x
        for number in range(1, self.convolutions + 1):
            if number > 1:
                out = F.relu(_norm(self, number)(out))
            if number == self.convolutions and self.dropout:
                out = F.dropout(out, self.dropout, self.training)
            out = _convolution(self, number)(out)
        return out + past


def stage(
    make: BlockMaker, *, blocks: int, channels: int, width: int, out: int, stride: int
) -> nn.Sequential:
    """Return blocks in a row, of which the first changes channels and size.

    Args:
        make: makes one block.
        blocks: how many.
        channels: channels into the first.
        width: their width.
        out: channels out of each.
        stride: of the first.
    """
    return nn.Sequential(make(channels, width, stride), *(make(out, width, 1) for _ in range(blocks - 1)))


def _add_convolutions(block: nn.Module, channels: int, width: int, stride: int, bottleneck: bool) -> int:
    """Add `conv1`, `conv2` and, in a bottleneck, `conv3` to a block, and return how many."""
    shapes = [(width, 3, stride), (width, 3, 1)]
    if bottleneck:
        shapes = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
    for number, (out, kernel, step) in enumerate(shapes, start=1):
        layer = nn.Conv2d(channels, out, kernel, stride=step, padding=kernel // 2, bias=False)
        block.add_module(f"conv{number}", layer)
        channels = out
    return len(shapes)


def _convolution(block: nn.Module, number: int) -> nn.Conv2d:
    return cast("nn.Conv2d", getattr(block, f"conv{number}"))


def _norm(block: nn.Module, number: int) -> nn.BatchNorm2d:
    return cast("nn.BatchNorm2d", getattr(block, f"bn{number}"))
