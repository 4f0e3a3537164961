"""A copy of a network that torch compiles: for long attacks, as compiling takes a minute or more.

`torch.compile` makes C++ (with a compiler such as g++) or Triton code of the gradient of a network. Which
code that is depends on the machine, so it is made only where it is asked for (`--engine compiled`), and it is
proven like every copy. What torch remembers of compiled code hangs on the code object it was made of: the
copy gets one of its own, so that nothing is remembered of the user's classes, and all goes with the copy.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from robench.model.another_way import Watcher


class CompiledCopy(Watcher):
    """Lets a copy of a network answer by compiled code where a gradient of several images is wanted.

    One image alone, and questions without a gradient, are answered as they are: each would be compiled for
    itself.

    Args:
        network: the copy; its `forward` is compiled as one piece.

    Raises:
        ValueError: it has no `forward` in Python of its own class.
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
            # Nothing of it may run in other processes, which would stay.
            self._compiled: Callable[..., Any] = torch.compile(
                MethodType(fresh, network), fullgraph=True, options={"compile_threads": 1}
            )
        self._has_answered = False
        network.__dict__["forward"] = self.forward

    def forward(self, x: Tensor) -> Any:
        """Return what the copy answers to images (B, C, H, W).

        Raises:
            AnotherWayError: it answered before, and these images cannot be answered by compiled code.
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
    """Put back the variables that torch sets for the whole process, and tell nobody of its own warnings."""
    before = dict(os.environ)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if dict(os.environ) != before:
            os.environ.clear()
            os.environ.update(before)
