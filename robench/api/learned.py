"""The training images of networks in this program: recorded by `train` and heads, read by `benchmark`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from operator import or_
from weakref import WeakKeyDictionary

from torch import nn

from robench.data.images import ImageSet
from robench.data.seen_images import SeenImages
from robench.model.interface import Model

_SEEN: WeakKeyDictionary[nn.Module, SeenImages] = WeakKeyDictionary()


def note_learned(net: nn.Module, data: ImageSet) -> None:
    """Record that a network learned from images or stores them; the record is deleted with the network."""
    _SEEN[net] = _SEEN.get(net, SeenImages()) | SeenImages(data)


def seen_by(model: Model) -> Callable[[], SeenImages] | None:
    """Return a function that gives a model's training images; None if none are known for any of its parts."""
    parts = [_SEEN[part] for part in model.net.modules() if part in _SEEN]
    return partial(reduce, or_, parts) if parts else None
