"""Which test images share a batch: for models that, like a published evaluation, prepare anew for each one.

A model sees pixels, and those change while it is attacked. What belongs to a batch and not to its pixels,
such as a template drawn for it, has to be the same for its clean and its attacked images, in whatever process
and order they come. So the unit of work says here which images of the data set it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from torch import Tensor

from robench.randomness import seed_from

V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The batch at hand.

    Attributes:
        key: 64 bits that depend on the indices of its images and their order, and on nothing else.
    """

    key: int
    _values: dict[int, tuple[object, Any]] = field(default_factory=dict, repr=False)

    def once(self, owner: object, make: Callable[[], V]) -> V:
        """Return what `owner` made for this batch; it is made at the first call and forgotten at its end."""
        if id(owner) not in self._values:
            self._values[id(owner)] = (owner, make())  # the owner is held, so that its id stays its own
        return cast("V", self._values[id(owner)][1])


_CURRENT: ContextVar[Batch | None] = ContextVar("robench_batch", default=None)


def current_batch() -> Batch | None:
    """Return the batch at hand; None where nobody said which one it is."""
    return _CURRENT.get()


@contextmanager
def batch_of(indices: Tensor) -> Iterator[Batch]:
    """Inside the block models are asked about the images with these `indices (B,)` of the data set."""
    batch = Batch(seed_from("batch", *indices.tolist()))
    token = _CURRENT.set(batch)
    try:
        yield batch
    finally:
        _CURRENT.reset(token)
