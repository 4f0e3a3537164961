"""Pairs of layers that one computation does: what each pair is and why it is the same function."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from robench.model.watched_pair import WatchedPair
from robench.model.winograd import Convolution


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
