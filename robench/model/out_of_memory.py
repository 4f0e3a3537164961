"""Out of memory: repeats the work on the same images with smaller batches.

The only place that recognises errors of this kind and handles them. Code that splits images into batches
(crafting, judging, probing) passes its whole work to this module, as a function of the batch size. Randomness
belongs to an image, or is seeded by the work itself, so the result is the same as with the smaller size from
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
    """Return how many rows a network may compute at once if it would normally compute `most`.

    For networks that make many rows per image, such as votes over noisy copies: after memory ran out, they
    compute at most as many rows at once as the reduced batch has images.
    """
    limit = _MOST.get()
    return most if limit is None else min(most, limit)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error, or one that it was raised from or after, says that memory ran out."""
    return any(_says_so(one) for one in _chain(error))


@dataclass(slots=True, kw_only=True)
class FittingBatches:
    """Runs work on the same images in batches that fit into memory, and notes the smallest batch size.

    Args:
        images: how many images there are.
        where: for messages.
        whole: name of the indivisible batch of all images, such as `a joint batch`; then nothing is repeated.

    Attributes:
        smallest: most images at once after memory ran out with more; 0 if it never did.
    """

    images: int
    where: str
    whole: str = ""
    smallest: int = 0

    def do(self, work: Callable[[int], T], *, most: int) -> T:
        """Run work with `most` images at once; repeat all of it with half as many if memory runs out.

        Args:
            work: called with the largest batch size it may use; it must not depend on effects of an earlier
                call.
            most: batch size of the first call.

        Raises:
            JobError: memory ran out with one image at once, or with an indivisible batch.
            Exception: any other error of the work.
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
    """Yield `most`, then repeated halves, of `most` or of `images` if that is smaller, down to 1."""
    yield most
    size = min(most, images) // 2
    while size >= 1:
        yield size
        size //= 2


@dataclass(frozen=True, slots=True)
class Fit(Generic[S, T]):
    """Result of work that was tried with smaller and smaller sizes.

    Attributes:
        value: the work's result.
        size: the size that fitted into memory.
        halved: whether this was not the first size.
    """

    value: T
    size: S
    halved: bool


def first_fitting(
    work: Callable[[S], T], sizes: Iterable[S], *, where: str, expected: str, do: str
) -> Fit[S, T]:
    """Run work with the first of these sizes for which memory suffices.

    Args:
        work: called with a size, or with a pair whose smaller entry is the largest batch of a pass.
        sizes: tried in order; at least one.
        where: for the message.
        expected: for the message, the thing for which memory did not suffice.
        do: for the message, the remedy.

    Raises:
        JobError: memory ran out with each of them.
        Exception: any other error of the work.
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
        # Memory that the error kept alive is free only here, where nothing refers to it any more.
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()
    raise JobError(where=where, expected=expected, got=reason, do=do)


@contextmanager
def _limited(size: int | tuple[int, int]) -> Iterator[None]:
    """Inside the block `at_once` returns at most the size, or the smaller entry of a pair."""
    token = _MOST.set(at_once(size if isinstance(size, int) else min(size)))
    try:
        yield
    finally:
        _MOST.reset(token)


def reason_of(error: BaseException) -> str:
    """Return one line that says that memory ran out, with the original message."""
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
    """Yield an error, its causes, and the errors during whose handling it was raised."""
    ids: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in ids:
        ids.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _let_go(error: BaseException) -> None:
    """Free the variables in the frames of an error's traceback: batches, graphs, half of an attack."""
    for one in _chain(error):
        traceback.clear_frames(one.__traceback__)
        one.__traceback__ = None
