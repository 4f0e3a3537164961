"""Two layers that are computed together, and a watch over whether they really follow each other.

Which layers follow each other is read from one trace of the network's code. Code may go another way in
another pass: for large batches, for some images, after a while. So every pass is watched: what the first
layer gives must reach the second as it is, and nothing else may be done with it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn

from robench.model.another_way import Watcher

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


class WatchedPair(Watcher):
    """Two layers of a copy, of which the second goes on with what the first left for it.

    Args:
        first: the layer that comes first.
        second: the layer that follows it.

    Attributes:
        first_alone: what to say where the first was used without the second.
        second_alone: what to say where the second was used without the first.
        used: what to say where anybody else used what the first gave.
    """

    first_alone: ClassVar[str]
    second_alone: ClassVar[str]
    used: ClassVar[str]

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        self._given: weakref.ref[_Unfinished] | None = None
        # Layers ask for `forward` at every call; one on the instance comes before that of the class.
        first.__dict__["forward"] = self._first
        second.__dict__["forward"] = self._second

    def first(self, x: Tensor) -> Tensor:
        """Return what the second layer goes on with, of the shape that the first layer gives."""
        raise NotImplementedError

    def second(self, x: Tensor) -> Tensor:
        """Return what both layers give together, from what `first` returned."""
        raise NotImplementedError

    def begin(self) -> None:
        """Forget a pass that was broken off."""
        self._given = None

    def end(self) -> None:
        """Refuse what the first layer gave and the second did not get.

        Raises:
            AnotherWayError: there is such a thing.
        """
        if self._given is not None:
            self._given = None
            self.refuse(self.first_alone)

    def _refuse_use(self) -> NoReturn:
        self.refuse(self.used)

    def _first(self, x: Tensor) -> Tensor:
        self.end()
        answer = _Unfinished.of(self.first(x), self._refuse_use)
        # Weak, so that memory of a pass that is broken off is free.
        self._given = weakref.ref(answer)
        return answer

    def _second(self, x: Tensor) -> Tensor:
        reference, self._given = self._given, None
        if reference is None or not isinstance(x, _Unfinished) or reference() is not x:
            self.refuse(self.second_alone)
        return self.second(x.output)


class _Unfinished(Tensor):
    """What a layer gives to the one that follows it: nobody else may compute with it.

    Attributes:
        output: what the layer that follows goes on with.
        refuse: raises.
    """

    output: Tensor
    refuse: Callable[[], NoReturn]

    @classmethod
    def of(cls, output: Tensor, refuse: Callable[[], NoReturn]) -> _Unfinished:
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
        if func in _FORM and isinstance(args[0], _Unfinished):
            return func(args[0].output, *args[1:], **(kwargs or {}))
        for one in _among((*args, *(kwargs or {}).values())):
            one.refuse()
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


class Watch:
    """Lets a network raise after a pass in which a layer was used without the one that follows it.

    Args:
        network: the copy that holds the layers.
        pairs: all that are computed together in it.
    """

    def __init__(self, network: nn.Module, pairs: Sequence[WatchedPair]) -> None:
        self._pairs = tuple(pairs)
        network.register_forward_pre_hook(self._before)
        network.register_forward_hook(self._after)

    def _before(self, _module: nn.Module, _inputs: Any) -> None:
        for pair in self._pairs:
            pair.begin()

    def _after(self, _module: nn.Module, _inputs: Any, _outputs: Any) -> None:
        for pair in self._pairs:
            pair.end()


def _among(values: Sequence[Any]) -> list[_Unfinished]:
    """Return the unfinished answers among the arguments of a call."""
    inner = [v for value in values if isinstance(value, list | tuple) for v in value]
    return [value for value in (*values, *inner) if isinstance(value, _Unfinished)]
