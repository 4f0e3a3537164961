"""The answer of a layer that only the layer after it may use: nobody else may compute with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

_FORM = (
    *(
        vars(torch._C.TensorBase)[n].__get__
        for n in ("shape", "dtype", "device", "ndim", "requires_grad", "is_cuda")
    ),
    Tensor.size,
    Tensor.dim,
    Tensor.numel,
    Tensor.__len__,
    Tensor.is_floating_point,
)
"""What may be asked of the first layer's answer: the second leaves it as it is."""


class UnfinishedAnswer(Tensor):
    """What a layer gives to the one that follows it.

    Attributes:
        output: what the layer that follows goes on with.
        refuse: raises.
    """

    output: Tensor
    refuse: Callable[[], NoReturn]

    @classmethod
    def of(cls, output: Tensor, refuse: Callable[[], NoReturn]) -> UnfinishedAnswer:
        """Return numbers in place of those that only the layer that follows may use."""
        answer = output.detach().as_subclass(cls)
        answer.output, answer.refuse = output, refuse
        return answer

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer questions about its form, and refuse all others."""
        if func in _FORM and isinstance(args[0], UnfinishedAnswer):
            return func(args[0].output, *args[1:], **(kwargs or {}))
        for one in _among((*args, *(kwargs or {}).values())):
            one.refuse()
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


def _among(values: Sequence[Any]) -> list[UnfinishedAnswer]:
    """Return the unfinished answers among the arguments of a call."""
    inner = [v for value in values if isinstance(value, list | tuple) for v in value]
    return [value for value in (*values, *inner) if isinstance(value, UnfinishedAnswer)]
