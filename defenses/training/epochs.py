"""A running stage: its epochs of gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defenses.training.averaging import Average
from defenses.training.distributed import DivergenceError, Loss
from defenses.training.objective import BatchContext, Stage
from defenses.training.options import learning_rate
from defenses.training.precision import autocast_to
from defenses.training.processes import ProcessGroup
from robench.data.images import ImageSet, crop_flip
from robench.model.defense import TrainingContext
from robench.model.interface import predictions
from robench.randomness import Randomness, borrowed_global_randomness, seed_from

CHUNK = 10
"""Steps between two checks of the losses: a check at every step would make a GPU wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Settings that the stages of one training share.

    Attributes:
        network: one module with all weights that any stage trains or needs; saved completely.
        validation_set: the held-out part (M, C, H, W), on the device; None for none.
        context: seed, device, files and progress.
        layout: memory format of the images (B, C, H, W).
        group: the processes that train together.
    """

    network: nn.Module
    validation_set: ImageSet | None
    context: TrainingContext
    layout: torch.memory_format
    group: ProcessGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """A running stage.

    Attributes:
        stage: the stage.
        first_epoch: number of epochs of the earlier stages.
        settings: settings of the whole training.
        optimizer: over the stage's parameters.
        average: of the stage's weights.
        loss: computes the loss of a batch, by the stage's objective.
    """

    stage: Stage
    first_epoch: int
    settings: TrainingSettings
    optimizer: torch.optim.Optimizer
    average: Average
    loss: Loss

    def epoch(self, data: ImageSet, epoch: int) -> dict[str, float]:
        """Train on every row once, or `replays` times in a row, and return the row of the history.

        Args:
            data: the rows, images (N, C, H, W) and labels (N,), on the device.
            epoch: counted from 0 over all stages.

        Raises:
            DivergenceError: the loss is NaN or infinite.
        """
        options, group = self.stage.options, self.settings.group
        self.stage.network.train(self.stage.parameters is None)
        seed = self.settings.context.seed
        order = torch.randperm(
            len(data), generator=torch.Generator().manual_seed(seed_from(seed, "order", epoch))
        )
        parts = order.to(data.labels.device).tensor_split(-(-len(data) // options.batch_size))
        batches = [part for part in parts for _ in range(self.stage.replays)]
        total, steps = 0.0, len(batches)
        right = torch.zeros((), dtype=torch.int64, device=data.labels.device)
        for start in range(0, steps, CHUNK):
            chunk = range(start, min(start + CHUNK, steps))
            # Dropout draws from the global generator; a chunk's draws do not depend on earlier chunks.
            with borrowed_global_randomness(seed_from(seed, "dropout", epoch, start, *group.random_label)):
                results = [self._step(data, batches[step], epoch, step, steps) for step in chunk]
            sums = group.sum(torch.stack([loss for loss, _ in results]))
            losses = [loss / group.size for loss in sums.tolist()]
            for step, loss in zip(chunk, losses, strict=True):
                _check_finite(loss, epoch, step, data.indices[batches[step]])
                total += loss * len(batches[step])
            right += group.sum(torch.stack([count for _, count in results]).sum())
            mean = sum(losses) / len(losses)
            self.settings.context.progress(
                {"epoch": epoch + 1, "step": chunk.stop, "steps": steps, "loss": mean}
            )
        group.broadcast(self.stage.network.buffers())
        self.average.after_epoch(self.stage.network, epoch - self.first_epoch)
        group.broadcast(self.average.weights.values())
        count = len(data) * self.stage.replays
        accuracy = "train_robust_accuracy" if self.stage.objective.adversarial else "train_accuracy"
        return {
            "epoch": epoch + 1,
            "loss": total / count,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            accuracy: int(right) / count,
        }

    def _step(self, data: ImageSet, rows: Tensor, epoch: int, step: int, steps: int) -> tuple[Tensor, Tensor]:
        """Take one step on rows (B,) of the data; return loss and number of right images, both scalars."""
        options, settings = self.stage.options, self.settings
        own_epoch, own_rows = epoch - self.first_epoch, settings.group.share(rows)
        rate = learning_rate(options, own_epoch * steps + step, options.epochs * steps)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        rng = Randomness(settings.context.seed, data.indices[own_rows], ("training", epoch))
        x, y = data.batch(own_rows)
        if options.augmentation == "crop_flip":
            x = crop_flip(x, rng.split("augmentation"))
        x = x.contiguous(memory_format=settings.layout)
        batch = BatchContext(own_epoch + (step + 0.5) / steps, rng.split("objective"))
        with autocast_to(options.precision, x.device):
            loss, logits = self.loss(x, y, batch)
        loss = settings.group.weighted_loss(loss, len(own_rows), len(rows))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], options.clip_norm)
        self.optimizer.step()
        self.average.after_step(self.stage.network)
        return loss.detach(), (predictions(logits.detach()) == y).sum()


def _check_finite(loss: float, epoch: int, step: int, images: Tensor) -> None:
    """Refuse to go on from a loss that is infinite or NaN.

    Raises:
        DivergenceError: names epoch, step and images.
    """
    if not -torch.inf < loss < torch.inf:
        listing = ", ".join(map(str, images[:8].tolist())) + (", ..." if len(images) > 8 else "")
        raise DivergenceError(
            where=f"epoch {epoch + 1}, step {step + 1}",
            expected="a finite training loss",
            got=f"{loss} on images {listing}",
            do="Lower learning_rate, set clip_norm, or raise warmup_epochs",
        )
