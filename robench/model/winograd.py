"""3x3 convolutions of many channels with a quarter of the multiplications, for the copies that attacks use.

Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016, arXiv:1509.09308, section 4.1): tiles of 6x6
values are transformed, multiplied channel by channel with the transformed kernel, and transformed back to 4x4
outputs: 36 multiplications in place of 144. Rounding is about ten times that of a direct convolution, which
is why it is only for copies, and each is proven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from robench.types import Images

Convolution = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) to the answers of one convolution."""

LEAST_CHANNELS, LEAST_TILES = 256, 32
"""With fewer, the transforms cost more than the multiplications they save."""

MOST_BYTES = 2**28
"""Most bytes of transformed kernels in a copy (each 4x its kernel); the rest are computed in every pass."""

_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _both_axes(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64, device="cpu")
    return torch.kron(matrix, matrix).float()


@dataclass(slots=True)
class Room:
    """How many bytes of transformed kernels a copy may still keep."""

    left: int = MOST_BYTES

    def take(self, size: int) -> bool:
        """Tell whether there is room for so many bytes, and take it."""
        fits = size <= self.left
        self.left -= size * fits
        return fits


class WinogradConvolution:
    """A convolution by F(4x4, 3x3); by PyTorch's own where that is faster or F(4x4, 3x3) cannot be used.

    Args:
        conv: the layer it replaces; `suits` is true for it.
        weight: of the convolution, (K, C, 3, 3).
        bias: of the convolution, (K,); None if there is none.
        room: for the transformed kernel.
    """

    def __init__(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor | None, room: Room) -> None:
        self._conv, self._weight, self._bias = conv, weight, bias
        self._input, self._output = _both_axes(_INPUT), _both_axes(_OUTPUT)
        self._kept = self._kernel() if room.take(4 * weight.numel() * weight.element_size()) else None

    def __call__(self, x: Images) -> Float[Tensor, "B K H W"]:
        """Return the convolution of images (B, C, H, W)."""
        if not self._is_worth_it(x):
            answer: Tensor = self._conv._conv_forward(x, self._weight, self._bias)
            return answer
        answer = _Winograd.apply(x, self, False)
        return answer if self._bias is None else answer + self._bias[:, None, None]

    def transformed(self, x: Images, *, backward: bool) -> Float[Tensor, "B K H W"]:
        """Return the convolution (B, K, H, W) of images (B, C, H, W); backward, that of gradients.

        The latter is a convolution with the reversed kernel. Tile and output are reversed instead of the
        kernel, so both directions share one transformed kernel.
        """
        kernel = self._kernel() if self._kept is None else self._kept
        before, after = self._input, self._output
        if backward:
            kernel, before, after = kernel.transpose(1, 2), before.flip(1), after.flip(0)
        count, channels, height, width = x.shape
        down, across, outputs = -(-height // 4), -(-width // 4), kernel.shape[2]
        padding = (0, 0, 1, 4 * across - width + 1, 1, 4 * down - height + 1)
        frame = F.pad(x.permute(0, 2, 3, 1), padding)
        image, row, column, channel = frame.stride()
        tiles = frame.as_strided(
            (6, 6, count, down, across, channels),
            (row, column, image, 4 * row, 4 * column, channel),
        ).reshape(36, -1)
        tiles = (before @ tiles).view(36, count * down * across, channels)
        tiles = after @ torch.bmm(tiles, kernel).view(36, -1)
        rows = tiles.view(4, 4, count, down, across, outputs).permute(2, 3, 0, 4, 1, 5)
        whole = rows.reshape(count, 4 * down, 4 * across, outputs)
        return whole[:, :height, :width].permute(0, 3, 1, 2)

    def _kernel(self) -> Tensor:
        """Return the transformed kernel, (36, C, K)."""
        outputs, inputs = self._weight.shape[:2]
        places = self._weight.detach().permute(2, 3, 1, 0).reshape(9, inputs * outputs)
        return (_both_axes(_KERNEL) @ places).view(36, inputs, outputs)

    def _is_worth_it(self, x: Tensor) -> bool:
        if x.ndim != 4 or x.dtype is not torch.float32 or x.device.type != "cpu" or min(x.shape[2:]) < 3:
            return False
        if x.shape[1] != self._weight.shape[1] or torch.is_autocast_enabled("cpu"):
            return False
        return len(x) * -(-x.shape[2] // 4) * -(-x.shape[3] // 4) >= LEAST_TILES


class _Winograd(torch.autograd.Function):
    """The gradient of a convolution with respect to its images is a convolution with the reversed kernel."""

    @staticmethod
    def forward(
        ctx: Any, x: Images, convolution: WinogradConvolution, backward: bool
    ) -> Float[Tensor, "B K H W"]:
        ctx.convolution, ctx.is_backward = convolution, backward
        return convolution.transformed(x, backward=backward)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        # Applied again, so that it can be differentiated twice.
        return _Winograd.apply(gradients[0], ctx.convolution, not ctx.is_backward), None, None


class LoneWinograd(WinogradConvolution):
    """A convolution without a batch-norm after it, computed by F(4x4, 3x3).

    Args:
        conv: the layer; this replaces its `forward` as long as its weights do not change.
        room: for the transformed kernel.
    """

    def __init__(self, conv: nn.Conv2d, room: Room) -> None:
        super().__init__(conv, conv.weight, conv.bias, room)
        self._known = self._state()
        conv.__dict__["forward"] = self._forward

    def _forward(self, x: Tensor) -> Tensor:
        if self._state() != self._known:
            answer: Tensor = nn.Conv2d.forward(self._conv, x)
            return answer
        return self(x)

    def _state(self) -> tuple[Any, ...]:
        tensors = [t for t in self._conv._parameters.values() if t is not None]
        return tuple((id(t), t.data_ptr(), t._version) for t in tensors)


def suits(conv: nn.Module) -> bool:
    """Tell whether a layer is a 3x3 convolution of stride 1 with many input and output channels.

    Not if its weight is no parameter: pruning and older forms of weight and spectral norm compute it from
    others in every pass.
    """
    if type(conv) is not nn.Conv2d or min(conv.in_channels, conv.out_channels) < LEAST_CHANNELS:
        return False
    if conv._parameters.get("weight") is None:
        return False
    plain = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    ours = conv.weight.dtype is torch.float32
    return plain == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros") and ours and not conv.weight.is_sparse


def applies(conv: nn.Module) -> bool:
    """Tell whether a layer `suits` and is on the CPU: GPU libraries choose such algorithms themselves."""
    return suits(conv) and conv.get_parameter("weight").device.type == "cpu"
