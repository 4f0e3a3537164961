"""A copy of a network with gradients from a pass in bfloat16 and outputs from a pass in float32.

Some processors and GPUs compute in bfloat16 several times as fast as in float32, but its eight bits change
scores near the boundary: a robust image could seem broken. So there are two passes: one in float32 without a
gradient, whose outputs count, and one in bfloat16 that is only differentiated. Only the direction of a step
is approximate, never a verdict.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

Numbers = tuple[Tensor, Tensor]


class RoughGradient(nn.Module):
    """Has the outputs of a copy of a network, and gradients computed in bfloat16.

    Args:
        module: the copy.
    """

    module: nn.Module

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = False
        features = getattr(module, "features", None)
        if callable(features) and not isinstance(features, nn.Module):
            self.__dict__["features"] = functools.wraps(features)(lambda x: self._answer(features, x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the copy's outputs for images (B, C, H, W).

        Raises:
            TypeError: the output is not one tensor.
        """
        return self._answer(self.module, x)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the copy if this object does not have it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module":
                raise
            return getattr(self.module, name)

    @staticmethod
    def _answer(question: Callable[[Tensor], Any], x: Tensor) -> Tensor:
        if not (x.requires_grad and torch.is_grad_enabled()):
            return cast("Tensor", question(x))
        with torch.no_grad():
            exact = question(x.detach().clone())
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            rough = question(x)
        if not (isinstance(exact, Tensor) and isinstance(rough, Tensor)):
            raise TypeError("its answer is not one tensor")
        return cast("Tensor", _ValueOf.apply(rough, exact))


class _ValueOf(torch.autograd.Function):
    """The second of two tensors, differentiated as if it were the first."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rough: Tensor, exact: Tensor) -> Tensor:
        del rough
        return exact.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Numbers, output: Tensor) -> None:
        del output
        ctx.dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.to(ctx.dtype), None
