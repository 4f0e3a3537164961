"""A model that processes only a few images at a time, however large the batch is.

For callers that do not split their images into batches. For gradients only the outputs are stored; a part is
computed again when its gradient is needed (Chen et al. 2016, arXiv:1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from robench.model.interface import GradientSource, Model
from robench.types import Images, Outputs

T = TypeVar("T")


def in_micro_batches(model: Model, size: int) -> Model:
    """Return a model whose network and gradient sources never get more than `size` images at once.

    Args:
        model: a model whose images do not influence each other.
        size: at least 1.
    """
    sources = {name: _in_parts(source, size) for name, source in model.sources.items()}
    return replace(model, net=_Parts(model.net, size), sources=sources)


class _Parts(nn.Module):
    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net = net
        self.size = size

    def forward(self, x: Images) -> Outputs:
        return torch.cat([_again(self.net, part) for part in torch.split(x, self.size)])


def _in_parts(source: GradientSource, size: int) -> GradientSource:
    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        answers = [_again(source.surrogate, part) for part in torch.split(x, size)]
        outputs, own = (torch.cat(parts) for parts in zip(*answers, strict=True))
        return outputs, own

    return replace(source, surrogate=surrogate)


def _again(ask: Callable[[Images], T], part: Images) -> T:
    """Compute a part; if a gradient may follow, do not store its graph."""
    if not (torch.is_grad_enabled() and part.requires_grad):
        return ask(part)
    # A device's backward pass runs in its own thread, which does not have the current batch and draw.
    context = copy_context()
    answer: T = checkpoint(lambda x: context.copy().run(ask, x), part, use_reentrant=False)
    return answer
