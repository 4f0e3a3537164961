"""Two layers that are computed together: which pairs there are, and the watch over each of them.

Which layers follow each other is read from one trace of the network's code. Code may go another way in
another pass: for large batches, for some images, after a while. So every pass is watched: what the first
layer gives must reach the second as it is, and nothing else may be done with it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

from torch import Tensor, nn

from robench.model.another_way import Watcher
from robench.model.unfinished_answer import UnfinishedAnswer
from robench.model.winograd import Convolution


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
        self._given: weakref.ref[UnfinishedAnswer] | None = None
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
        answer = UnfinishedAnswer.of(self.first(x), self._refuse_use)
        # Weak, so that memory of a pass that is broken off is free.
        self._given = weakref.ref(answer)
        return answer

    def _second(self, x: Tensor) -> Tensor:
        reference, self._given = self._given, None
        if reference is None or not isinstance(x, UnfinishedAnswer) or reference() is not x:
            self.refuse(self.second_alone)
        return self.second(x.output)


class FoldedPair(WatchedPair):
    """A convolution and the batch-norm that is folded into it.

    In evaluation mode both together are one convolution. What both are folded from must be what it was: that
    too is watched. The layers keep their own weights, for whoever else reads them.

    Args:
        conv: the convolution; it computes with the weight and the bias of both layers together.
        norm: the batch-norm; it gives what the convolution computed.
        convolution: computes with the weight of both together.
    """

    first_alone = "a convolution was used without the batch-norm that is folded into it"
    second_alone = "a batch-norm was used without the convolution it is folded into"
    used = "what a convolution gave was used, though a batch-norm is folded into it"

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, convolution: Convolution) -> None:
        super().__init__(conv, norm)
        self._conv, self._norm, self._convolution = conv, norm, convolution
        self._sources = sources(conv, norm)

    def first(self, x: Tensor) -> Tensor:
        """Return what both layers compute."""
        if self._norm.training or sources(self._conv, self._norm) != self._sources:
            self.refuse("a batch-norm or its convolution was not what was folded")
        return self._convolution(x)

    def second(self, x: Tensor) -> Tensor:
        """Return it as it is."""
        return x


class PooledPair(WatchedPair):
    """A ReLU and the max-pooling after it, done the other way round: a quarter of the values are rectified.

    The largest of rectified values is the largest value rectified, bit for bit; so is the gradient: where the
    largest is positive, it is the same entry, and where it is not, no gradient flows.

    Args:
        relu: the ReLU; it leaves its input as it is.
        pool: the max-pooling; it rectifies what it gives.
    """

    first_alone = "a ReLU was used without the max-pooling it is done after"
    second_alone = "a max-pooling was used without the ReLU it is done before"
    used = "what a ReLU gave was used, though a max-pooling is done before it"

    def __init__(self, relu: nn.ReLU, pool: nn.MaxPool2d) -> None:
        self._pool = pool
        super().__init__(relu, pool)

    def first(self, x: Tensor) -> Tensor:
        """Return the images (B, C, H, W) of the layer before."""
        return x

    def second(self, x: Tensor) -> Tensor:
        """Return the largest of each window, rectified."""
        largest: Tensor = nn.MaxPool2d.forward(self._pool, x)
        return largest.relu()


def sources(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Any, ...]:
    """Return what tells whether two layers are still those that were folded: tensors, their versions, eps."""
    tensors = [*conv._parameters.values(), *norm._parameters.values(), *norm._buffers.values()]
    # Counters of passes, which are no floats, do not matter to an answer.
    identities = [
        (id(t), t.data_ptr(), t._version) for t in tensors if t is not None and t.is_floating_point()
    ]
    return (*identities, norm.eps, norm.track_running_stats, type(conv), type(norm))


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
