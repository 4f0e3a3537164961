"""The output of a layer that only the next layer may use; all other operations on it are refused."""

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
"""Allowed reads of the first layer's output: the second layer does not change these properties."""


class UnfinishedAnswer(Tensor):
    """The output of a layer for the next layer only.

    Attributes:
        output: the input of the next layer.
        refuse: raises.
    """

    output: Tensor
    refuse: Callable[[], NoReturn]

    @classmethod
    def of(cls, output: Tensor, refuse: Callable[[], NoReturn]) -> UnfinishedAnswer:
        """Wrap numbers that only the next layer may use."""
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
        """Allow reading its shape and type, and refuse everything else."""
        if func in _FORM and isinstance(args[0], UnfinishedAnswer):
            return func(args[0].output, *args[1:], **(kwargs or {}))
        for one in _among((*args, *(kwargs or {}).values())):
            one.refuse()
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


def _among(values: Sequence[Any]) -> list[UnfinishedAnswer]:
    """Return the unfinished outputs among the arguments of a call."""
    inner = [v for value in values if isinstance(value, list | tuple) for v in value]
    return [value for value in (*values, *inner) if isinstance(value, UnfinishedAnswer)]
