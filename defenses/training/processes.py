"""The processes that train one network together, and their communication."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from robench.model.defense import TrainingContext
from robench.run.models.torchrun import launched_rank
from robench.types import IntPerSample, RowNumbers, Scalar

T = TypeVar("T")
FAILED = 3
"""Exit code of a process whose training failed."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes that train together, seen from one of them; alone, every method changes nothing.

    Attributes:
        rank: number of this process, from 0.
        size: how many processes there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def random_label(self) -> tuple[object, ...]:
        """A label that separates the randomness of this process from that of the first."""
        return ("rank", self.rank) if self.rank else ()

    def context(self, context: TrainingContext) -> TrainingContext:
        """Return the context of this process: only the first writes files and reports progress."""
        if not self.rank:
            return context
        return replace(context, state=None, history=None, last=None, progress=lambda row: None)

    def share(self, rows: IntPerSample) -> RowNumbers:
        """Return this process's part of a mini-batch's rows (B,)."""
        return rows if self.size == 1 else rows.tensor_split(self.size)[self.rank]

    def weighted_loss(self, loss: Scalar, own: int, whole: int) -> Scalar:
        """Scale the mean loss, a scalar, of `own` images so that its mean over processes is that of all."""
        return loss if self.size == 1 else loss * (own * self.size / whole)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor of any shape over processes, entry by entry."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, make: Callable[[], T]) -> T:
        """Return the object that the first process makes.

        Raises:
            SystemExit: it failed there, where its error is raised; the others end quietly.
        """
        if self.size == 1:
            return make()
        message: list[Any] = [False, None]
        try:
            if not self.rank:
                message = [True, make()]
        finally:
            dist.broadcast_object_list(message, src=0, device=torch.device("cpu"))
        if not message[0]:
            raise SystemExit(FAILED)
        return cast("T", message[1])

    def gather(self, value: T) -> list[T]:
        """Return the value of every process, in the order of ranks."""
        values: list[Any] = [value]
        if self.size > 1:
            values = [None] * self.size
            dist.all_gather_object(values, value)
        return values

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors of any shapes with those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def gather_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the state of the objectives of all processes, tensors of any shape by unique names."""
        if self.size == 1:
            return state
        parts = self.gather({name: tensor.cpu() for name, tensor in state.items()})
        return {f"{rank}/{name}": part[name] for rank, part in enumerate(parts) for name in part}

    def own_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return this process's part of the result of `gather_state`."""
        if self.size == 1:
            return state
        prefix = f"{self.rank}/"
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def join_processes(device: torch.device) -> ProcessGroup:
    """Join the other processes that torchrun started; return a group of one if there are none.

    On CUDA devices gradients are sent by NCCL, everything else by gloo.
    """
    if launched_rank().count == 1:
        return ProcessGroup()
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return ProcessGroup(dist.get_rank(), dist.get_world_size())
