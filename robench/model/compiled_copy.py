"""A copy of a network compiled by PyTorch, for long attacks: compiling takes a minute or more.

`torch.compile` makes C++ (with a compiler such as g++) or Triton code for the gradient of a network. The code
depends on the machine, so it is made only on request (`--engine compiled`), and it is proven like every copy.
PyTorch stores compiled code with the code object of the function. So the copy gets its own code object:
nothing is stored with the user's classes, and everything is freed with the copy.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from robench.model.another_way import Watcher
from robench.types import Images


class CompiledCopy(Watcher):
    """Lets a copy of a network use compiled code for gradients of several images.

    One image alone, and passes without a gradient, are not compiled: each would need its own compilation.

    Args:
        network: the copy; its `forward` is compiled as one piece.

    Raises:
        ValueError: its class has no `forward` in Python.
    """

    def __init__(self, network: nn.Module) -> None:
        function = getattr(network.forward, "__func__", None)
        if not isinstance(function, FunctionType) or isinstance(network, torch.jit.ScriptModule):
            raise ValueError("its forward is no function in Python")
        fresh = FunctionType(
            function.__code__.replace(co_name=f"{function.__code__.co_name}_compiled"),
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        fresh.__kwdefaults__ = function.__kwdefaults__
        self._plain = network.forward
        with _quietly():
            # Compilation must not start other processes, which would stay alive.
            self._compiled: Callable[..., Any] = torch.compile(
                MethodType(fresh, network), fullgraph=True, options={"compile_threads": 1}
            )
        self._has_answered = False
        network.__dict__["forward"] = self.forward

    def forward(self, x: Images) -> Any:
        """Return the copy's outputs for images (B, C, H, W).

        Raises:
            AnotherWayError: it worked before, but compiled code fails on these images.
        """
        if len(x) < 2 or not (x.requires_grad and torch.is_grad_enabled()):
            return self._plain(x)
        try:
            with _quietly():
                torch._dynamo.maybe_mark_dynamic(x, 0)
                answer = self._compiled(x)
        except Exception as error:
            if not self._has_answered:
                raise
            self.stray = f"compiled code failed: {type(error).__name__}"
            self.refuse(self.stray)
        self._has_answered = True
        return answer


@contextmanager
def _quietly() -> Iterator[None]:
    """Restore the variables that PyTorch sets for the whole process, and hide its own warnings."""
    before = dict(os.environ)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if dict(os.environ) != before:
            os.environ.clear()
            os.environ.update(before)
