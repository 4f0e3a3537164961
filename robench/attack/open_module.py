"""Lends a network with its layers open to view, for attacks of libraries that climb what a layer computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robench.attack.surrogate_module import SurrogateModule
from robench.types import Images, Outputs


class OpenModule(SurrogateModule):
    """A `SurrogateModule` whose pass is part of the library's graph, and whose layers are found by name.

    Layers are those of the user's network (`conv1`, `layer2.0`). A gradient may begin at a layer and end at
    the images or at the weights, so a backward pass is counted where it leaves the scores or enters the
    images, once for each forward pass it goes through. `unlocked` gives weights, hooks and `.grad` back.
    """

    def answer(self, x: Images) -> Outputs:
        """Return scores (B, K) in the library's own graph, where gradients are on."""
        if not torch.is_grad_enabled():
            return self.own(x)
        points = x.detach()
        marks: list[bool] = []

        def count(gradient: Tensor | None, *, at_images: bool) -> None:
            if not marks:
                marks.append(True)
                self.rows_backward += len(points) * self.backwards
            if at_images and gradient is not None and self.gradient_listener is not None:
                self.gradient_listener(points, gradient.detach())

        if x.requires_grad:
            x = x.view_as(x)
            x.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: count(gradient, at_images=True)
            )
        scores = self.surrogate(x)
        if scores.requires_grad:
            scores.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: count(gradient, at_images=False)
            )
        return scores

    def named_modules(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Module]]:
        """Yield the layers of the user's network by their names."""
        yield from self.network.named_modules(*args, **options)

    def __getattr__(self, name: str) -> Any:
        """Return a layer of the user's network where this module has nothing of that name."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.network, name)

    @property
    def network(self) -> nn.Module:
        """The user's network, behind its door."""
        net: nn.Module = self.__dict__["_model"].net
        inner = getattr(net, "module", net)
        return inner if isinstance(inner, nn.Module) else net


@contextmanager
def unlocked(module: OpenModule) -> Iterator[None]:
    """Inside the block gradients reach weights too; then weights, `.grad` and hooks are as they were."""
    net = module.__dict__["_model"].net
    weights = [(p, p.requires_grad, p.grad) for p in net.parameters()]
    hooks = [(part, name, dict(getattr(part, name))) for part in net.modules() for name in _HOOKS]
    try:
        for parameter, _, _ in weights:
            parameter.grad = None
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        yield
    finally:
        for part, name, before in hooks:
            now = getattr(part, name)
            now.clear()
            now.update(before)
        for parameter, flag, gradient in weights:
            parameter.requires_grad_(flag)
            parameter.grad = gradient


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
