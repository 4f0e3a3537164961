"""What counts as a lack of memory, which sizes are tried, and what is let go of in between."""

import errno
import weakref

import numpy as np
import pytest
import torch

from robench.errors import JobError
from robench.model.interface import Model
from robench.model.micro_batches import in_micro_batches
from robench.model.out_of_memory import FittingBatches, at_once, halving, is_out_of_memory, reason_of

SAID = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((10**9,), np.dtype("f8")),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("HIP out of memory. Tried to allocate 1 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 100 bytes."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    RuntimeError("std::bad_alloc"),
]
OTHER = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (20x36 and 64x3)"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("required rank 4 tensor to use channels_last memory format"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
    ValueError("out of memory"),  # a message alone is no error of that kind
    OSError(errno.ENOSPC, "No space left on device"),
    JobError(where="x", expected="memory", got="out of memory"),
    AssertionError(),
]


@pytest.mark.parametrize("error", SAID, ids=lambda e: str(e)[:40])
def test_it_is_known_by_type_or_text(error):
    assert is_out_of_memory(error)
    assert reason_of(error).startswith("out of memory (")
    assert "\n" not in reason_of(error)


@pytest.mark.parametrize("error", OTHER, ids=lambda e: str(e)[:40])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


def test_it_is_known_behind_the_error_of_somebody_who_caught_it():
    def wrapped(silent):
        try:
            try:
                raise MemoryError
            except MemoryError as error:
                if silent:
                    raise ValueError("no") from None
                raise ValueError("the network failed") from error
        except ValueError as error:
            return error

    assert is_out_of_memory(wrapped(silent=False))
    assert not is_out_of_memory(wrapped(silent=True))


def test_it_comes_on_a_real_machine_without_being_played():
    with pytest.raises(Exception) as error:  # noqa: PT011 - the type is what is asked about
        torch.empty(2**46)
    assert is_out_of_memory(error.value)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("most", "images", "sizes"),
    [
        (12, 20, [12, 6, 3, 1]),
        (250, 20, [250, 10, 5, 2, 1]),
        (1, 20, [1]),
        (250, 1, [250]),
        (250, 0, [250]),
        (2, 2, [2, 1]),
    ],
)
def test_sizes_are_halved_down_to_one(most, images, sizes):
    assert list(halving(most, images)) == sizes
    tries = []

    def work(size):
        tries.append(size)
        raise MemoryError

    with pytest.raises(JobError, match="one image at a time, got out of memory"):
        FittingBatches(images=images, where="m").do(work, most=most)
    assert tries == sizes


@pytest.mark.thorough
def test_what_failed_is_let_go_of_and_what_is_no_error_is_noted():
    references = []

    def work(size):
        assert all(ref() is None for ref in references)
        hoard = torch.zeros(3)
        references.append(weakref.ref(hoard))
        if size > 3:
            raise MemoryError
        return size

    batches = FittingBatches(images=20, where="m")
    assert batches.do(work, most=3) == 3
    assert batches.smallest == 0
    assert batches.do(work, most=12) == 3
    assert batches.do(lambda size: size, most=20) == 20
    assert batches.smallest == 3


@pytest.mark.thorough
def test_an_error_leaves_no_trace_of_the_tries_before():
    with pytest.raises(JobError) as error:
        FittingBatches(images=2, where="m").do(lambda _: torch.empty(2**46), most=2)
    assert error.value.__context__ is None


@pytest.mark.thorough
def test_a_whole_is_tried_once():
    tries = []

    def work(size):
        tries.append(size)
        raise MemoryError

    with pytest.raises(JobError, match=r"a joint batch, which cannot be split.*Lower `shard`"):
        FittingBatches(images=20, where="m", whole="a joint batch").do(work, most=12)
    assert tries == [12]


@pytest.mark.thorough
def test_networks_that_cut_by_themselves_are_told_how_many_rows_fit():
    sizes = []

    def work(size):
        sizes.append(at_once(250))
        if size > 2:
            raise MemoryError

    FittingBatches(images=8, where="m").do(work, most=8)
    assert sizes == [250, 4, 2]
    assert at_once(250) == 250


class Spy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        return torch.tanh(self.layer(x.flatten(1))) ** 2


def test_answers_and_gradients_in_parts_are_those_of_the_whole():
    net = Spy()
    model = Model(name="m", net=net, classes=3)
    few = in_micro_batches(model, 2)
    x = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    results = []
    for one in (model, few):
        leaf = x.clone().requires_grad_(True)
        outputs, own = one.source("exact").surrogate(leaf)
        (gradient,) = torch.autograd.grad(outputs.square().sum(), leaf)
        (plain,) = torch.autograd.grad(one.net(leaf).square().sum(), leaf)
        results.append((outputs, own, gradient, plain, one.net(x)))
        net.seen, sizes = [], net.seen
    assert max(sizes) == 2
    for whole, parts in zip(*results, strict=True):
        torch.testing.assert_close(parts, whole)
