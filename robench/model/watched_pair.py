"""Two layers that are computed together: the kinds of pairs, and the check of every pass.

The order of layers is known from one trace of the network's code. The code may take another path in another
pass: for large batches, for some images, or later. So every pass is checked: the output of the first layer
must reach the second unchanged, and nothing else may use it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn

from robench.model.another_way import Watcher
from robench.model.winograd import Convolution
from robench.types import Values

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


class WatchedPair(Watcher):
    """Two layers of a copy; only the second uses the output of the first.

    Args:
        first: the layer that comes first.
        second: the layer that follows it.

    Attributes:
        first_alone: message if the first was used without the second.
        second_alone: message if the second was used without the first.
        other_use: message if anything else used the output of the first.
    """

    first_alone: ClassVar[str]
    second_alone: ClassVar[str]
    other_use: ClassVar[str]

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        self._given: weakref.ref[UnfinishedAnswer] | None = None
        # A layer looks up `forward` at every call; the instance's attribute has priority over the class's.
        first.__dict__["forward"] = self._first
        second.__dict__["forward"] = self._second

    def first(self, x: Values) -> Values:
        """Return the input of the second layer, in the shape of the first layer's output."""
        raise NotImplementedError

    def second(self, x: Values) -> Values:
        """Return the output of both layers together, from the result of `first`."""
        raise NotImplementedError

    def begin(self) -> None:
        """Forget an aborted pass."""
        self._given = None

    def end(self) -> None:
        """Refuse an output of the first layer that the second did not get.

        Raises:
            AnotherWayError: there is such an output.
        """
        if self._given is not None:
            self._given = None
            self.refuse(self.first_alone)

    def _refuse_use(self) -> NoReturn:
        self.refuse(self.other_use)

    def _first(self, x: Tensor) -> Tensor:
        self.end()
        answer = UnfinishedAnswer.of(self.first(x), self._refuse_use)
        # A weak reference, so that the memory of an aborted pass is freed.
        self._given = weakref.ref(answer)
        return answer

    def _second(self, x: Tensor) -> Tensor:
        reference, self._given = self._given, None
        if reference is None or not isinstance(x, UnfinishedAnswer) or reference() is not x:
            self.refuse(self.second_alone)
        return self.second(x.output)


class FoldedPair(WatchedPair):
    """A convolution and the batch-norm that is folded into it.

    In evaluation mode both together are one convolution. It is also checked that the folded weights have not
    changed. The layers keep their own weights for other code that reads them.

    Args:
        conv: the convolution; it computes with the combined weight and bias of both layers.
        norm: the batch-norm; it returns its input.
        convolution: computes with the combined weight.
    """

    first_alone = "a convolution was used without the batch-norm that is folded into it"
    second_alone = "a batch-norm was used without the convolution it is folded into"
    other_use = "what a convolution gave was used, though a batch-norm is folded into it"

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, convolution: Convolution) -> None:
        super().__init__(conv, norm)
        self._conv, self._norm, self._convolution = conv, norm, convolution
        self._sources = sources(conv, norm)

    def first(self, x: Values) -> Values:
        """Return the output of both layers."""
        if self._norm.training or sources(self._conv, self._norm) != self._sources:
            self.refuse("a batch-norm or its convolution was not what was folded")
        return self._convolution(x)

    def second(self, x: Values) -> Values:
        """Return the input unchanged."""
        return x


class PooledPair(WatchedPair):
    """A ReLU and the max-pooling after it, in reversed order: a quarter of the values are rectified.

    The largest of rectified values is the largest value rectified, bit for bit; so is the gradient: where the
    largest is positive, it is the same entry, and where it is not, no gradient flows.

    Args:
        relu: the ReLU; it returns its input.
        pool: the max-pooling; it rectifies its output.
    """

    first_alone = "a ReLU was used without the max-pooling it is done after"
    second_alone = "a max-pooling was used without the ReLU it is done before"
    other_use = "what a ReLU gave was used, though a max-pooling is done before it"

    def __init__(self, relu: nn.ReLU, pool: nn.MaxPool2d) -> None:
        self._pool = pool
        super().__init__(relu, pool)

    def first(self, x: Values) -> Values:
        """Return the images (B, C, H, W) of the layer before."""
        return x

    def second(self, x: Values) -> Values:
        """Return the largest of each window, rectified."""
        largest: Tensor = nn.MaxPool2d.forward(self._pool, x)
        return largest.relu()


def sources(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Any, ...]:
    """Return values that show whether folded layers have changed: tensors, their versions, eps."""
    tensors = [*conv._parameters.values(), *norm._parameters.values(), *norm._buffers.values()]
    # Counters of passes, which are not floats, do not affect the output.
    identities = [
        (id(t), t.data_ptr(), t._version) for t in tensors if t is not None and t.is_floating_point()
    ]
    return (*identities, norm.eps, norm.track_running_stats, type(conv), type(norm))


class Watch:
    """Lets a network raise after a pass in which a layer was used without the next layer of its pair.

    Args:
        network: the copy with the layers.
        pairs: all pairs in it.
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
