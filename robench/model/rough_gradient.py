"""A copy of a network whose gradients come from a pass in bfloat16, and whose verdicts do not.

A processor or GPU that computes in bfloat16 does so several times as fast as in float32, but its eight bits
move scores near the boundary: an image would be called broken that stands. So an answer in bfloat16 counts
only where its largest score leads by many times what bfloat16 moves (`is_sure`); all other images are asked
again in float32, without a gradient. What is approximate is the direction of a step and the size of a loss,
never a verdict. The proof of a copy (`robench.model.proof`) compares both answers on the run's own images.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from robench.types import Images, Mask, Outputs

Numbers = tuple[Tensor, Tensor]


SURE = 2.0**-4
"""Lead of the largest output, relative to the largest of the row in size, from which bfloat16 is believed.

Outputs of ResNet20, ResNet18 (seeded weights) and Small-CNN (TRADES) differed by at most 2**-7.8 of how far
they are apart.
"""

FEWEST = 3
"""Outputs of a row that can be sure: two, both near zero at the boundary, show no usual size."""


class RoughGradient(nn.Module):
    """Has the outputs of a copy of a network, and gradients computed in bfloat16.

    Args:
        module: the copy.

    Attributes:
        decides: whether a model answers what this network alone answers, in scores, so that clear answers may
            come from bfloat16; False under heads and votes, and of probabilities, which a rounding of scores
            may change by much.
        columns: the outputs that stand for classes; None for all.
    """

    module: nn.Module

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = False
        self.decides = False
        self.columns: tuple[int, ...] | None = None
        features = getattr(module, "features", None)
        if callable(features) and not isinstance(features, nn.Module):
            self.__dict__["features"] = functools.wraps(features)(lambda x: self._answer(features, x))

    def forward(self, x: Images) -> Tensor:
        """Return the copy's outputs for images (B, C, H, W).

        Raises:
            TypeError: the output is not one tensor.
        """
        return self._answer(self.module, x, decides=self.decides)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the copy if this object does not have it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module":
                raise
            return getattr(self.module, name)

    def _answer(self, question: Callable[[Tensor], Any], x: Tensor, *, decides: bool = False) -> Tensor:
        if not (x.requires_grad and torch.is_grad_enabled()):
            return cast("Tensor", question(x))
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            rough = question(x)
        if not isinstance(rough, Tensor):
            raise TypeError("its answer is not one tensor")
        outputs = rough.detach().to(x.dtype)
        unsure = ~is_sure(outputs, self.columns) if decides else torch.ones(len(x), dtype=torch.bool)
        if bool(unsure.any()):
            with torch.no_grad():
                exact = question(x.detach().clone() if bool(unsure.all()) else x.detach()[unsure])
            if not isinstance(exact, Tensor):
                raise TypeError("its answer is not one tensor")
            outputs = exact if bool(unsure.all()) else outputs.index_put((unsure,), exact.to(outputs.dtype))
        return cast("Tensor", _ValueOf.apply(rough, outputs))


def is_sure(outputs: Outputs, columns: Sequence[int] | None = None) -> Mask:
    """Tell which rows (B,) of outputs (B, K) in bfloat16 name the class that float32 would name.

    Args:
        outputs: of any floating-point type; a row with a number that is none is not sure.
        columns: those that stand for classes; None for all.
    """
    if outputs.ndim != 2 or outputs.shape[1] < FEWEST:
        return torch.zeros(len(outputs), dtype=torch.bool, device=outputs.device)
    part = outputs if columns is None else outputs[:, list(columns)]
    if part.shape[1] < FEWEST:
        return torch.zeros(len(outputs), dtype=torch.bool, device=outputs.device)
    largest = part.topk(2, dim=1).values
    size = outputs.abs().amax(dim=1).maximum(part.amax(dim=1) - part.amin(dim=1))
    sure: Tensor = (largest[:, 0] - largest[:, 1] > SURE * size) & size.isfinite()
    return sure


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
