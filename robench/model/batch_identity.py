"""Identifies the batch of test images, for models that make something for each batch, as some papers do.

A model sees pixels, which change during an attack. Things that belong to a batch and not to its pixels, such
as a template drawn for it, must be the same for clean and attacked images, in any process and order. So each
unit of work sets here which images of the data set it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from robench.randomness import seed_from
from robench.types import IntPerSample

V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The current batch.

    Attributes:
        key: 64 bits that depend on the indices of its images and their order, and on nothing else.
    """

    key: int
    _values: dict[int, tuple[object, Any]] = field(default_factory=dict, repr=False)

    def once(self, owner: object, make: Callable[[], V]) -> V:
        """Return the object of `owner` for this batch: made at the first call, freed with the batch."""
        if id(owner) not in self._values:
            self._values[id(owner)] = (owner, make())  # keeps the owner alive, so that its id stays unique
        return cast("V", self._values[id(owner)][1])


_CURRENT: ContextVar[Batch | None] = ContextVar("robench_batch", default=None)


def current_batch() -> Batch | None:
    """Return the current batch; None if none was set."""
    return _CURRENT.get()


@contextmanager
def batch_of(indices: IntPerSample) -> Iterator[Batch]:
    """Inside the block the current batch has the images with these `indices (B,)` of the data set."""
    batch = Batch(seed_from("batch", *indices.tolist()))
    token = _CURRENT.set(batch)
    try:
        yield batch
    finally:
        _CURRENT.reset(token)
