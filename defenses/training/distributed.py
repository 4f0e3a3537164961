"""Several devices: one process each, started by torchrun, synchronised by DistributedDataParallel.

Every process has the network and the data. Each computes its share of every mini-batch; the gradients are
averaged, so all processes take the same step. Only process 0 writes files and prints.
"""

from __future__ import annotations

import atexit
import gc
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from defenses.training.averaging import EVALUATION_BATCH
from defenses.training.objective import BatchContext, Objective, Stage
from defenses.training.processes import FAILED, ProcessGroup
from defenses.training.validation import ValidationAccuracy, validate
from robench.data.images import ImageSet
from robench.errors import ConfigError, JobError, RobenchError
from robench.types import Images, Labels, Outputs, Scalar

Loss = Callable[[Images, Labels, BatchContext], tuple[Tensor, Outputs]]


class DivergenceError(JobError):
    """The loss is NaN or infinite, which every process learns at the same step."""


def check_batch_sizes(group: ProcessGroup, stages: Sequence[Stage]) -> None:
    """Refuse mini-batches with fewer images than there are processes.

    Raises:
        ConfigError: a stage has one.
    """
    for stage in stages:
        count = len(stage.training_set)
        smallest = count // -(-count // stage.options.batch_size)
        if smallest < group.size:
            raise ConfigError(
                where="batch_size",
                expected=f"an image for each of {group.size} processes in every step",
                got=f"steps of {smallest}",
                do="Raise batch_size, or start fewer processes",
            )


class _LossModule(nn.Module):
    """A stage's objective as a module, so that PyTorch's engine sees one forward and one backward pass.

    An objective may call the network many times, and its inner attack differentiates with all parameters
    frozen: neither reaches the hooks, which wait for the one backward pass of the loss.
    """

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self._objective = (objective,)  # in a tuple, so that a module is not registered

    def forward(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the objective's mean loss and its outputs (B, K), these without a gradient.

        Args:
            x: this process's images (B, C, H, W) in [0, 1].
            y: their labels (B,), from 0 to K - 1.
            batch: the progress of the stage, and the randomness of these images.
        """
        loss, logits = self._objective[0].loss(x, y, batch)
        return loss, logits.detach()


@contextmanager
def synchronised_loss(group: ProcessGroup, stage: Stage) -> Iterator[Loss]:
    """Yield the loss of a stage; its backward pass gives the mean gradient of all processes.

    Parameters that a loss does not use are allowed, as in a single process (`find_unused_parameters`; PyTorch
    warns once if all are used). Batch-norm sees only the share of its process, and starts every step with the
    running statistics of the first process.
    """
    if group.size == 1:
        yield stage.objective.loss
        return
    module = _LossModule(stage.network, stage.objective)
    replicas = [DistributedDataParallel(module, find_unused_parameters=True)]

    def loss(x: Images, y: Labels, batch: BatchContext) -> tuple[Tensor, Outputs]:
        """Return the mean loss and the outputs (B, K) for this process's images (B, C, H, W)."""
        result: tuple[Tensor, Outputs] = replicas[0](x, y, batch)
        return result

    try:
        yield loss
    finally:
        replicas.clear()
        gc.collect()  # removes the hooks, because the next stage puts new ones on the same parameters


@contextmanager
def fail_together(group: ProcessGroup) -> Iterator[None]:
    """Let all processes fail if one fails: it prints the reason and ends, and torchrun ends the others.

    Raises:
        RobenchError: an error that ends the command anyway, or that all processes have at the same time.
        SystemExit: any other failure, after it was written to the error stream.
    """
    try:
        yield
    except Exception as error:
        ends_anyway = isinstance(error, RobenchError) and not isinstance(error, JobError)
        if group.size == 1 or ends_anyway or isinstance(error, DivergenceError):
            raise
        text = "".join(traceback.format_exception(error))
        atexit.unregister(torch.distributed.destroy_process_group)  # it would wait for the others
        sys.stderr.write(
            f"{text}error: process {group.rank} of {group.size} failed: {type(error).__name__}. All stop. "
            "If it lost its connection, another one failed first. The same command resumes.\n"
        )
        raise SystemExit(FAILED) from None


def _own_rows(group: ProcessGroup, count: int) -> Tensor:
    """Return the rows (n,), int64, of the chunks that a process judges."""
    chunks = torch.split(torch.arange(count), EVALUATION_BATCH)[group.rank :: group.size]
    return torch.cat(chunks) if chunks else torch.arange(0)


def validate_together(
    group: ProcessGroup, stage: Stage, data: ImageSet, *, seed: int, layout: torch.memory_format
) -> ValidationAccuracy:
    """Judge a stage's network on the held-out part, in chunks; see `defenses.training.validation.validate`.

    Chunks have the same images as in a single process, so that the verdict is the same.

    Args:
        group: the processes; each judges every `size`-th chunk.
        stage: whose network and objective are asked.
        data: the held-out images (N, C, H, W), the same in every process.
        seed: of the attack.
        layout: the memory layout of the images.

    Returns:
        Shares of the N images, from 0 to 1, the same in every process.
    """
    if group.size == 1:
        return validate(stage, data, seed=seed, layout=layout)
    rows = _own_rows(group, len(data))
    own = validate(stage, data.subset(rows), seed=seed, layout=layout) if len(rows) else None
    parts = [part for part in group.gather(own) if part is not None]

    def mean(values: Sequence[float | None]) -> float | None:
        pairs = [(value, part.images) for value, part in zip(values, parts, strict=True) if value is not None]
        right = sum(round(value * images) for value, images in pairs)
        return right / len(data) if pairs else None

    natural = mean([part.natural for part in parts])
    assert natural is not None  # some process has a chunk
    return ValidationAccuracy(
        natural=natural,
        own=mean([part.own for part in parts]),
        monitored=mean([part.monitored for part in parts]),
        images=len(data),
    )
