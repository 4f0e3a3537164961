"""A plain function of images as a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from robench.errors import InputError
from robench.model.module_search import modules_within


class FunctionNetwork(nn.Module):
    """Calls a function of images.

    The modules that the function uses (found by `robench.model.module_search` in its closure, its defaults,
    the globals it names, objects, lists and partials) become submodules, so that they are put into
    evaluation mode, restored, and part of the identity.

    Args:
        function: images (B, C, H, W) in [0, 1] to outputs (B, classes).
    """

    searched_before = ("function",)
    """Attributes whose modules are registered on creation."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules_within(function))
        self.training = False

    def forward(self, x: Tensor) -> Any:
        """Return the function's result."""
        return self.function(x)


def as_network(value: object, where: str) -> nn.Module:
    """Return a module; a function of images is wrapped into one.

    Raises:
        InputError: it is neither.
    """
    if isinstance(value, nn.Module):
        return value
    if callable(value) and not isinstance(value, type):
        return FunctionNetwork(value)
    kind = type(value).__name__
    got = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    if isinstance(value, type):
        got = f"the class {value.__name__}"
    do = "Make an instance of it" if isinstance(value, type) else "Give the network itself"
    raise InputError(where=where, expected="a torch.nn.Module or a function of images", got=got, do=do)
