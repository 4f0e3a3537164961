"""A convolution that does its batch-norm's work, and notices where they do not follow each other.

Which layers follow each other is read from one trace of the network's code. Code may go another way in
another pass: for large batches, for some images, after a while. So every pass is watched: what such a
convolution gives must reach its batch-norm as it is, and nothing else may be done with it; and what both are
folded from must be what it was. The layers keep their own weights, for whoever else reads them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

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
"""What may be asked of a convolution's answer: batch-norm leaves it as it is."""


class AnotherWayError(RuntimeError):
    """A folded copy was asked in a way in which it is not the network it was made from."""


class FoldedPair:
    """A convolution and the batch-norm that is folded into it.

    Args:
        conv: the convolution; it computes with the weight and the bias of both layers together.
        norm: the batch-norm; it gives what the convolution computed.
        weight: of both together.
        bias: of both together.

    Attributes:
        stray: how a pass went another way; empty if none did. It stays, for an attack may catch the error.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> None:
        self._conv, self._norm = conv, norm
        self._weight, self._bias = weight, bias
        self._given: weakref.ref[_Unfinished] | None = None
        self._sources = _sources(conv, norm)
        self.stray = ""
        # Layers ask for `forward` at every call; one on the instance comes before that of the class.
        conv.__dict__["forward"] = self._convolve
        norm.__dict__["forward"] = self._pass_on

    def begin(self) -> None:
        """Forget a pass that was broken off."""
        self._given = None

    def end(self) -> None:
        """Refuse what the convolution gave and its batch-norm did not get.

        Raises:
            AnotherWayError: there is such a thing.
        """
        if self._given is not None:
            self._given = None
            self._refuse("a convolution was used without the batch-norm that is folded into it")

    def _convolve(self, x: Tensor) -> Tensor:
        self.end()
        if self._norm.training or _sources(self._conv, self._norm) != self._sources:
            self._refuse("a batch-norm or its convolution was not what was folded")
        output: Tensor = self._conv._conv_forward(x, self._weight, self._bias)
        answer = _Unfinished.of(output, self._refuse)
        # Weak, so that memory of a pass that is broken off is free.
        self._given = weakref.ref(answer)
        return answer

    def _pass_on(self, x: Tensor) -> Tensor:
        reference, self._given = self._given, None
        if reference is None or not isinstance(x, _Unfinished) or reference() is not x:
            self._refuse("a batch-norm was used without the convolution it is folded into")
        return x.output

    def _refuse(self, reason: str) -> NoReturn:
        self.stray = reason
        raise AnotherWayError(reason)


class _Unfinished(Tensor):
    """What a convolution gives to the batch-norm that is folded into it: nobody may compute with it.

    Attributes:
        output: what both layers compute together.
        refuse: raises, with the reason.
    """

    output: Tensor
    refuse: Callable[[str], NoReturn]

    @classmethod
    def of(cls, output: Tensor, refuse: Callable[[str], NoReturn]) -> _Unfinished:
        """Return numbers in place of what both layers compute together."""
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
            one.refuse("what a convolution gave was used, though a batch-norm is folded into it")
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


class Watch:
    """Lets a network raise after a pass in which a convolution was used without its batch-norm.

    Args:
        network: the copy that holds the layers.
        pairs: all that are folded in it.
    """

    def __init__(self, network: nn.Module, pairs: Sequence[FoldedPair]) -> None:
        self._pairs = tuple(pairs)
        network.register_forward_pre_hook(self._before)
        network.register_forward_hook(self._after)

    def _before(self, _module: nn.Module, _inputs: Any) -> None:
        for pair in self._pairs:
            pair.begin()

    def _after(self, _module: nn.Module, _inputs: Any, _outputs: Any) -> None:
        for pair in self._pairs:
            pair.end()


def _sources(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Any, ...]:
    """Return what tells whether two layers are still those that were folded: tensors, their versions, eps."""
    tensors = [*conv._parameters.values(), *norm._parameters.values(), *norm._buffers.values()]
    # Counters of passes, which are no floats, do not matter to an answer.
    identities = [
        (id(t), t.data_ptr(), t._version) for t in tensors if t is not None and t.is_floating_point()
    ]
    return (*identities, norm.eps, norm.track_running_stats, type(conv), type(norm))


def _among(values: Sequence[Any]) -> list[_Unfinished]:
    """Return the unfinished answers among the arguments of a call."""
    inner = [v for value in values if isinstance(value, list | tuple) for v in value]
    return [value for value in (*values, *inner) if isinstance(value, _Unfinished)]


def stray_of(network: nn.Module) -> str:
    """Return how a pass of a folded copy went another way, though nobody heard of it; empty if none did."""
    forwards = (part.__dict__.get("forward") for part in network.modules())
    pairs = (getattr(forward, "__self__", None) for forward in forwards)
    return next((pair.stray for pair in pairs if isinstance(pair, FoldedPair) and pair.stray), "")


def went_another_way(error: BaseException) -> bool:
    """Tell whether an error, or one it was raised from, says that a pass went another way than the trace."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, AnotherWayError):
            return True
        link = link.__cause__ or link.__context__
    return False
