"""What networks of this program learned from: noted by `train` and the heads, asked by `benchmark`."""

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
    """Note that a network learned from images, or remembers them; the note ends with the network."""
    _SEEN[net] = _SEEN.get(net, SeenImages()) | SeenImages(data)


def seen_by(model: Model) -> Callable[[], SeenImages] | None:
    """Return what gives the images a model learned from; None where nothing was noted of any of its parts."""
    parts = [_SEEN[part] for part in model.net.modules() if part in _SEEN]
    return partial(reduce, or_, parts) if parts else None
