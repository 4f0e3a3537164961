"""Passes of a copy that share memory: whether one still has its answer after others, in any order.

A copy that answers from fixed places in memory must hand out numbers that later passes do not overwrite.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.model.interface import Coupling, GradientSource, Model
from robench.model.proof import Answer, cotangent
from robench.randomness import borrowed_global_randomness
from robench.types import Images


def answers_in_turn(
    model: Model, source: GradientSource, x: Images, *, without_gradient: bool
) -> list[Answer]:
    """Return the answers to some images, read after passes of others: of the first pass, and asked twice.

    Forward passes of the images, of the same in reverse, and of one image fewer come first; then backward
    passes, that of the images twice, and of others after it.

    Args:
        model: the model, or its copy.
        source: one of its gradient sources.
        x: images (B, C, H, W), in one batch if memory suffices.
        without_gradient: whether the network is asked without a gradient first, as in `proof.ask`.

    Raises:
        JobError: memory does not suffice for one image, or for a joint batch.
        Exception: any other error of the copy.
    """

    def at_once(size: int) -> list[Answer]:
        with borrowed_global_randomness(0):
            parts = [
                _in_turn(model, source, part, row * size, without_gradient)
                for row, part in enumerate(torch.split(x, size))
            ]
        return [
            Answer(
                own=torch.cat([part.own for part in answers]),
                surrogate=torch.cat([part.surrogate for part in answers]),
                gradient=torch.cat([part.gradient for part in answers]),
                apart=without_gradient,
            )
            for answers in zip(*parts, strict=True)
        ]

    return model.fitting_batches(len(x)).do(at_once, most=len(x))


def _in_turn(
    model: Model, source: GradientSource, x: Images, row: int, without_gradient: bool
) -> tuple[Answer, Answer]:
    """Ask about some of the compared images; the first of them has number `row` among all."""
    leaves = [part.detach().clone().requires_grad_(True) for part in (x, x.flip(0), x[:-1])]
    if len(x) < 2 or model.coupling is Coupling.JOINT:
        leaves = leaves[:2]
    if without_gradient:
        with torch.no_grad():
            own = model.net(x)
    with torch.enable_grad():
        passes = [source.surrogate(leaf) for leaf in leaves]
    surrogate, first = passes[0]
    if not without_gradient:
        own = first
    order = (0, *range(len(leaves)), 1)  # the last pass, of other images, must not overwrite results
    gradients = [_gradient(passes[place][0], leaves[place], row) for place in order]
    one, two = (
        Answer(own.detach(), surrogate.detach(), gradient, without_gradient) for gradient in gradients[:2]
    )
    return one, two


def _gradient(outputs: Tensor, leaf: Images, row: int) -> Images:
    if not outputs.requires_grad:
        return torch.zeros_like(leaf)
    loss = (outputs * cotangent(outputs, row)).sum()
    (gradient,) = torch.autograd.grad(loss, leaf, retain_graph=True, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient
