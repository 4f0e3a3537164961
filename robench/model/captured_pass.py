"""A forward and a backward pass of a network as CUDA graphs, for one shape of the images.

A CUDA graph starts all kernels of a pass at once; `torch.cuda.make_graphed_callables` captures one for each
direction. A graph reads and writes fixed places in memory, and no code in Python runs with it. So fewer
images are padded to its shape, and what it returns is copied before the next pass overwrites it. The values
in between are those of the last forward pass, and a backward pass overwrites them: where they belong to other
images, or are gone, the forward pass is done again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robench.types import Images, SameShape, Values

Question = Callable[[Tensor], Any]
"""Images (B, C, H, W) to what a network answers."""


class _Values(NamedTuple):
    """The forward pass whose values are in the graph's memory."""

    number: int
    images: Tensor
    outputs: Tensor


class CapturedPass:
    """A function of images, captured for at most as many rows as the images it is made with.

    Args:
        question: images (B, C, H, W) to one tensor with B rows.
        x: images (B, C, H, W) on a CUDA device.

    Raises:
        Exception: any error of the capture, as of a function that waits for the device.
    """

    def __init__(self, question: Question, x: Images) -> None:
        self._question = on_a_copy(question)
        self._rows = len(x)
        sample = x.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
        replay = torch.cuda.make_graphed_callables(self._question, (sample,), allow_unused_input=True)
        self._replay = cast("Question", replay)
        self._passes = 0
        self._values: _Values | None = None

    def __call__(self, x: Images) -> Values:
        """Return the function's outputs (B, ...) for images (B, C, H, W), which gradients flow to."""
        return cast("Tensor", _Replayed.apply(x, self))

    def forward(self, x: Images) -> tuple[Values, int]:
        """Return the outputs for images (B, C, H, W), and the number of the pass."""
        values = self._forward(x)
        return own(values.outputs.detach()[: len(x)]), values.number

    def backward(self, x: Images, number: int, gradient: Values) -> Images:
        """Return the gradient with respect to images (B, C, H, W).

        Args:
            x: the images.
            number: of their forward pass.
            gradient: with respect to the outputs, (B, ...).
        """
        values, self._values = self._values, None
        if values is None or values.number != number:
            values, self._values = self._forward(x), None
        (slope,) = torch.autograd.grad(values.outputs, values.images, padded(gradient, self._rows))
        return own(slope[: len(x)])

    def again(self, x: Images, gradient: Values) -> Images:
        """Return the same as `backward`, by the function itself: it can be differentiated once more."""
        (slope,) = torch.autograd.grad(self._question(x), x, gradient, create_graph=True)
        return slope

    def _forward(self, x: Tensor) -> _Values:
        self._passes += 1
        images = padded(x.detach(), self._rows).requires_grad_(True)
        with torch.enable_grad():
            self._values = _Values(self._passes, images, self._replay(images))
        return self._values


def on_a_copy(question: Question) -> Question:
    """Return a function that asks about a copy of images: a network may write into what it is given."""
    return lambda x: question(x.clone())


def padded(x: Values, rows: int) -> Float[Tensor, "rows ..."]:
    """Return rows (B, ...) with zeros after them, (`rows`, ...)."""
    return F.pad(x, (0, 0) * (x.ndim - 1) + (0, rows - len(x)))


def own(x: SameShape) -> SameShape:
    """Return the same numbers in memory of their own, which no replay overwrites."""
    return x.clone()


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, captured: CapturedPass) -> Tensor:
        ctx.save_for_backward(x)
        ctx.captured = captured
        outputs, ctx.number = captured.forward(x)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # the caller wants to differentiate the gradient: `create_graph`
            return ctx.captured.again(x, gradients[0]), None
        return ctx.captured.backward(x, ctx.number, gradients[0]), None
