"""A copy of a network whose gradients come from a pass in bfloat16, and whose outputs do not.

A processor or GPU that computes in bfloat16 does so several times as fast as in float32, but its eight bits
move scores near the boundary: an image would be called broken that stands. So every question is answered
twice: by a pass in float32 without a gradient, which alone counts, and by one in bfloat16 that is only
differentiated. What is approximate is the direction of a step, never a verdict.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

Numbers = tuple[Tensor, Tensor]


class RoughGradient(nn.Module):
    """Answers as a copy of a network does, and is differentiated in bfloat16.

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
        """Return what the copy answers to images (B, C, H, W).

        Raises:
            TypeError: that is not one tensor.
        """
        return self._answer(self.module, x)

    def __getattr__(self, name: str) -> Any:
        """Return a part of the copy where this has none of that name."""
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
