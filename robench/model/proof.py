"""Whether two networks are the same function: outputs and gradients compared on a few images.

Gradients are compared relative to their length, however small it is: an attack takes the direction and leaves
the length. Only where the original's gradient has no direction (it is zero, or another one after the images
moved by a rounding error, as where a graph head is saturated) is the copy's own compared with what rounding
makes of outputs of that size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.model.interface import GradientSource, Model
from robench.randomness import borrowed_global_randomness
from robench.types import Images, Outputs, PerSample

PROOF_IMAGES = 16
"""Most images on which a copy is compared with the original."""

OUTPUT_TOLERANCE = 1e-4
"""Largest difference of an output, relative to the largest output of the images compared."""

GRADIENT_TOLERANCE = 1e-2
"""Largest difference of a gradient in L2, relative to its length, or the median length if that is more."""

SPARED = 0.2
"""Share of the images whose gradient may differ more: where rounding turns a ReLU or a maximum, it jumps."""

ROUNDING = 32 * torch.finfo(torch.float32).eps
"""Longest gradient, relative to the largest output of the images compared, that may be rounding alone: along
it outputs change by 32 units in the last place from one end of the pixels' range to the other."""

TURNED = 0.5
"""Change of a gradient relative to its length from which it has no direction; opposite ones change by 2."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answers to images (B, C, H, W).

    Attributes:
        own: its outputs (B, columns).
        surrogate: the outputs of a gradient source.
        gradient: of a fixed combination of the latter, with respect to the images.
    """

    own: Outputs
    surrogate: Outputs
    gradient: Images


def ask(model: Model, source: GradientSource, x: Images) -> Answer:
    """Return a model's outputs and a source's, with the gradient of a fixed combination of the latter."""
    with borrowed_global_randomness(0):
        with torch.no_grad():
            own = model.net(x)
        leaf = x.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            surrogate, _ = source.surrogate(leaf)
            weights = _cotangent(surrogate)
            gradient = None
            if surrogate.requires_grad:
                (gradient,) = torch.autograd.grad((surrogate * weights).sum(), leaf, allow_unused=True)
    zero = torch.zeros_like(x)
    return Answer(own.detach(), surrogate.detach(), zero if gradient is None else gradient.detach())


def _cotangent(like: Outputs) -> Tensor:
    """Return fixed numbers, all different, so that no two outputs cancel: irrational steps in (-1, 1)."""
    steps = torch.arange(1, like.numel() + 1, device=like.device, dtype=torch.float64) * 0.6180339887498949
    return (2 * (steps % 1) - 1).to(like.dtype).view(like.shape)


def nudged(x: Images, bounds: tuple[float, float]) -> Images:
    """Return images (B, C, H, W) moved by a rounding error, up or down, inside the bounds."""
    return (x + torch.finfo(torch.float32).eps * _cotangent(x).sign()).clamp(*bounds)


def difference(original: Answer, other: Answer, again: Callable[[], Answer | None]) -> str:
    """Say in what another network differs from the original beyond rounding; empty if in nothing.

    Args:
        original: what the original answers.
        other: what the other answers to the same images.
        again: asks the original about `nudged` images; None where it raises.
    """
    for name in ("own", "surrogate"):
        one, two = getattr(original, name), getattr(other, name)
        if one.shape != two.shape:
            return f"its outputs have the shape {tuple(two.shape)}, not {tuple(one.shape)}"
        finite = torch.isfinite(one)
        if not torch.equal(finite, torch.isfinite(two)):
            return "its outputs are not finite in other places"
        scale, apart = _largest(one[finite]), _largest((one - two)[finite])
        if apart > OUTPUT_TOLERANCE * scale:
            return f"its outputs differ by {apart / max(scale, 1e-30):.2g} of the largest"
    one, two = original.gradient.flatten(1), other.gradient.flatten(1)
    finite = torch.isfinite(one).all(dim=1)
    if not torch.equal(finite, torch.isfinite(two).all(dim=1)):
        return "its gradients are not finite in other places"
    error = relative_error(one[finite], two[finite])
    # One image alone has no others beside which a jump would be an exception: only what is far off counts.
    allowed = GRADIENT_TOLERANCE if len(error) > 1 else 10 * GRADIENT_TOLERANCE
    if not _too_many(error > allowed):
        return ""
    noise = ROUNDING * _largest(original.surrogate[torch.isfinite(original.surrogate)])
    short = (one[finite].norm(dim=1) <= noise) & (two[finite].norm(dim=1) <= noise)
    if bool(short.any()) and (nudge := again()) is not None:
        turn = (nudge.gradient.flatten(1)[finite] - one[finite]).norm(dim=1)
        error[short & (turn >= TURNED * one[finite].norm(dim=1))] = 0.0
    if _too_many(error > allowed):
        return f"its gradients differ by {float(error.median()):.2g} of their length (median)"
    return ""


def _too_many(wrong: Tensor) -> bool:
    return len(wrong) > 0 and float(wrong.double().mean()) > SPARED


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def relative_error(one: Tensor, two: Tensor) -> PerSample:
    """Return by how much rows (B, D) differ in L2, relative to their length, or the median if larger."""
    length: PerSample = one.norm(dim=1)
    if not len(length):
        return length
    scale = length.maximum(length.median())
    apart = (one - two).norm(dim=1)
    error: PerSample = torch.where(apart == 0, apart, apart / scale.clamp_min(torch.finfo(one.dtype).tiny))
    return error
