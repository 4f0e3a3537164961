"""The processes that train one network together: what each of them knows, and what they tell each other."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from robench.model.defense import TrainingContext
from robench.run.torchrun import launched_rank

T = TypeVar("T")
FAILED = 3
"""Exit code of a process whose training failed."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train together, seen from one of them; alone, every method changes nothing.

    Attributes:
        number: rank of this process.
        count: how many processes there are.
    """

    number: int = 0
    count: int = 1

    @property
    def label(self) -> tuple[object, ...]:
        """What separates the randomness of this process from that of the first."""
        return ("rank", self.number) if self.number else ()

    def context(self, context: TrainingContext) -> TrainingContext:
        """Return the context of this process: only the first has files and somebody to tell."""
        if not self.number:
            return context
        return replace(context, state=None, history=None, last=None, progress=lambda row: None)

    def share(self, rows: Tensor) -> Tensor:
        """Return the part of a mini-batch's rows (B,) that this process learns from."""
        return rows if self.count == 1 else rows.tensor_split(self.count)[self.number]

    def weighted(self, loss: Tensor, own: int, whole: int) -> Tensor:
        """Return the mean loss of `own` images such that its mean over processes is that of the `whole`."""
        return loss if self.count == 1 else loss * (own * self.count / whole)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def first(self, make: Callable[[], T]) -> T:
        """Return what the first process makes; where that fails, the others end quietly."""
        if self.count == 1:
            return make()
        box: list[Any] = [False, None]
        try:
            if not self.number:
                box = [True, make()]
        finally:
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        if not box[0]:
            raise SystemExit(FAILED)
        return cast("T", box[1])

    def all(self, value: T) -> list[T]:
        """Return the value of every process, in the order of ranks."""
        found: list[Any] = [value]
        if self.count > 1:
            found = [None] * self.count
            dist.all_gather_object(found, value)
        return found

    def level(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def gathered(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what the objectives of all processes carry, under one name each."""
        if self.count == 1:
            return state
        parts = self.all({name: tensor.cpu() for name, tensor in state.items()})
        return {f"{rank}/{name}": part[name] for rank, part in enumerate(parts) for name in part}

    def own(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return this process's part of what `gathered` returned."""
        if self.count == 1:
            return state
        prefix = f"{self.number}/"
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def join(device: torch.device) -> World:
    """Meet the other processes that torchrun started; alone where there are none.

    On CUDA devices gradients travel by NCCL, everything else by gloo.
    """
    if launched_rank().count == 1:
        return World()
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return World(dist.get_rank(), dist.get_world_size())
