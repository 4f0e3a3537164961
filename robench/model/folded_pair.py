"""A convolution that does its batch-norm's work, and notices where they do not follow each other.

Which layers follow each other is read from one trace of the network's code. Code may go another way in
another pass: for large batches, for some images, after a while. So every pass is watched: what such a
convolution gives must reach its batch-norm, and nothing else may.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NoReturn

from torch import Tensor, nn


class AnotherWayError(RuntimeError):
    """A folded copy was asked in a way in which it is not the network it was made from."""


class FoldedPair:
    """A convolution and the batch-norm that is folded into it.

    Args:
        conv: the convolution; its weight and bias become those of both layers together.
        norm: the batch-norm; it gives what it gets.
        weight: of both together.
        bias: of both together.

    Attributes:
        stray: how a pass went another way; empty if none did. It stays, for an attack may catch the error.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> None:
        conv.weight = nn.Parameter(weight, requires_grad=False)
        conv.bias = nn.Parameter(bias, requires_grad=False)
        self._conv = conv
        self._given: weakref.ref[Tensor] | None = None
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
        conv = self._conv
        output: Tensor = conv._conv_forward(x, conv.weight, conv.bias)
        # Weak, so that memory of a pass that is broken off is free.
        self._given = weakref.ref(output)
        return output

    def _pass_on(self, x: Tensor) -> Tensor:
        given, self._given = self._given, None
        if given is None or given() is not x:
            self._refuse("a batch-norm was used without the convolution it is folded into")
        return x

    def _refuse(self, reason: str) -> NoReturn:
        self.stray = reason
        raise AnotherWayError(reason)


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
