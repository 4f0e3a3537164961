"""A transform of images in front of a model, and its attack by BPDA.

Backward pass differentiable approximation (Athalye, Carlini & Wagner 2018, arXiv:1802.00420, section 4.1):
the forward pass goes through the transform, the backward pass as if it were the identity. That is a good
approximation if the transform changes an image only little, as every transform here does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import FunctionCtx

from defenses.inference.transforms import Transform
from robench.model.interface import GradientSource, Model
from robench.recipe import options_of
from robench.types import Images, Outputs


class TransformedNetwork(nn.Module):
    """A network that gets transformed images.

    Args:
        transform: applied first, without gradient.
        base: images to outputs; shared, not copied.
    """

    def __init__(self, transform: Transform, base: nn.Module) -> None:
        super().__init__()
        self.transform, self.base = transform, base
        self.training = base.training  # only this flag: the mode of the shared network does not change

    def forward(self, x: Images, shared: Any = None) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to the base network's outputs."""
        with torch.no_grad():
            images = self.transform(x, shared)
        return cast("Outputs", self.base(images))


class _Identity(torch.autograd.Function):
    """Forward: the transformed images. Backward: the gradient, unchanged, to the images themselves."""

    @staticmethod
    def forward(_ctx: FunctionCtx, x: Images, images: Images) -> Images:
        """Return the transformed images (B, C, H, W) in [0, 1], in the type of x (B, C, H, W)."""
        return images.view_as(images).to(x.dtype)

    @staticmethod
    def backward(_ctx: FunctionCtx, *gradients: Any) -> tuple[Images, None]:
        """Return the gradient (B, C, H, W) of the transformed images as that of x (Athalye et al. 2018)."""
        return gradients[0], None


def straight_through(x: Images, transform: Transform, shared: Any = None) -> Images:
    """Return transformed images (B, C, H, W) in [0, 1]; their gradient goes to `x` unchanged.

    Args:
        x: images (B, C, H, W) in [0, 1].
        transform: the transform.
        shared: the result of `transform.shared` for these images.
    """
    with torch.no_grad():
        images = transform(x, shared)
    return cast("Images", _Identity.apply(x, images))


def bpda_source(source: GradientSource, transform: Transform, name: str) -> GradientSource:
    """Return a gradient source of the base model through a transform that is not random.

    The base's own outputs at the transformed image are the defended model's own outputs at the image.
    """

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        """Map images (B, C, H, W) to the surrogate's and the model's outputs, both (B, K)."""
        return source.surrogate(straight_through(x, transform))

    return replace(source, name=name, surrogate=surrogate)


def details_of(model: Model, recipe: Any, **facts: Any) -> dict[str, Any]:
    """Return the model's details with a defense added to the list `inference`, the outermost first."""
    entry = {"defense": type(recipe).__name__, **options_of(recipe), **facts}
    return {**model.details, "inference": [entry, *model.details.get("inference", ())]}
