"""Out of memory: the same images again, fewer at once.

The one place that knows how a lack of memory shows and what is done about it. Whoever cuts images into
batches (crafting, judging, probing) hands its whole work over, as a function of the batch size. Chance
belongs to an image, or is seeded by the work itself, so what comes out is what that smaller size gives from
the start.
"""

from __future__ import annotations

import errno
import gc
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from robench.errors import JobError

S = TypeVar("S", int, tuple[int, int])
T = TypeVar("T")

_MOST: ContextVar[int | None] = ContextVar("robench_most_at_once", default=None)

_TEXTS = re.compile(
    r"out of memory"  # of every accelerator, of its driver, and of libraries on top of them
    r"|not enough memory|(can't|cannot) allocate memory|unable to allocate|bad_alloc|bad allocation"
    r"|STATUS_ALLOC_FAILED|(HOST|DEVICE)_ALLOCATION_FAILED"  # cuBLAS, cuSOLVER, cuSPARSE, cuDNN
    r"|CUBLAS_STATUS_NOT_INITIALIZED.*cublasCreate"  # its workspace did not fit
    r"|unable to find a valid cuDNN algorithm",  # none fits into what is left
    re.IGNORECASE | re.DOTALL,
)

FREE = "Free memory that other programs hold, or use a device with more"
SMALLER_SHARD = "Lower `shard`, so that fewer images belong together, or use a device with more"


def at_once(most: int) -> int:
    """Return how many rows a network may compute at once that by itself would compute `most`.

    For networks that make many rows of one image, as votes over noisy copies do: where memory ran out, no
    more of them than images are asked about.
    """
    limit = _MOST.get()
    return most if limit is None else min(most, limit)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error, or one that it was raised from or after, says that memory ran out."""
    return any(_says_so(one) for one in _chain(error))


@dataclass(slots=True, kw_only=True)
class FittingBatches:
    """Does works about the same images in batches that fit into memory, and notes how small these had to be.

    Args:
        images: how many images there are.
        where: for messages.
        whole: what they belong to that cannot be split, such as `a joint batch`; nothing is then tried again.

    Attributes:
        smallest: most images at once after memory ran out with more; 0 where it never did.
    """

    images: int
    where: str
    whole: str = ""
    smallest: int = 0

    def do(self, work: Callable[[int], T], *, most: int) -> T:
        """Do a work with `most` images at once: all over again with half as many where memory runs out.

        Args:
            work: called with the most images it may ask a model about at once; it depends on nothing that an
                earlier call has done.
            most: the number it is called with first.

        Raises:
            JobError: memory ran out with one image at once, or with images that cannot be split.
            Exception: whatever else the work raises.
        """
        sizes: Iterable[int] = halving(most, self.images)
        expected, do = "memory for one image at a time", FREE
        if self.whole:
            sizes, do = [most], SMALLER_SHARD
            expected = f"memory for {self.whole}, which cannot be split"
        fit = first_fitting(work, sizes, where=self.where, expected=expected, do=do)
        if fit.halved:
            self.smallest = min(fit.size, self.smallest or fit.size)
        return fit.value


def halving(most: int, images: int) -> Iterator[int]:
    """Yield `most`, then half of it or, where they are fewer, of the images, and so on down to 1."""
    yield most
    size = min(most, images) // 2
    while size >= 1:
        yield size
        size //= 2


@dataclass(frozen=True, slots=True)
class Fit(Generic[S, T]):
    """What came of a work that was tried with smaller and smaller sizes.

    Attributes:
        value: what it gave.
        size: with which it fitted into memory.
        halved: whether that was not the first.
    """

    value: T
    size: S
    halved: bool


def first_fitting(
    work: Callable[[S], T], sizes: Iterable[S], *, where: str, expected: str, do: str
) -> Fit[S, T]:
    """Do a work with the first of these sizes with which memory suffices.

    Args:
        work: called with a size, or a pair of which the smaller one is the most images of a pass.
        sizes: tried in turn; at least one.
        where: for the message.
        expected: for the message, what memory did not suffice for.
        do: for the message, what helps.

    Raises:
        JobError: memory ran out with each of them.
        Exception: whatever else the work raises.
    """
    reason, is_smaller = "", False
    for size in sizes:
        try:
            with _limited(size) if is_smaller else nullcontext():
                return Fit(work(size), size, is_smaller)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason, is_smaller = reason_of(error), True
            _let_go(error)
        # Only here, where nothing refers to the error any more, is what it held free.
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()
    raise JobError(where=where, expected=expected, got=reason, do=do)


@contextmanager
def _limited(size: int | tuple[int, int]) -> Iterator[None]:
    """Inside the block `at_once` gives no more than the size, or the smaller of a pair."""
    token = _MOST.set(at_once(size if isinstance(size, int) else min(size)))
    try:
        yield
    finally:
        _MOST.reset(token)


def reason_of(error: BaseException) -> str:
    """Return in one line that memory ran out, and how that was said."""
    cause = next((one for one in _chain(error) if _says_so(one)), error)
    lines = str(cause).strip().splitlines() or [""]
    line = next((line for line in lines if _TEXTS.search(line)), lines[0]).strip()
    return f"out of memory ({type(cause).__name__}: {line[:200].rstrip('.')})".replace(": )", ")")


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_TEXTS.search(str(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it was raised from, or while they were handled."""
    ids: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in ids:
        ids.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _let_go(error: BaseException) -> None:
    """Drop what the frames that an error passed through still hold: batches, graphs, half of an attack."""
    for one in _chain(error):
        traceback.clear_frames(one.__traceback__)
        one.__traceback__ = None
