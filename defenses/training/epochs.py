"""One stage under way: its epochs of descent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defenses.training.averaging import Average
from defenses.training.distributed import DivergenceError, Loss
from defenses.training.objective import Moment, Stage
from defenses.training.options import learning_rate
from defenses.training.precision import computing
from defenses.training.processes import World
from robench.data.images import ImageSet, crop_flip
from robench.model.defense import TrainingContext
from robench.model.interface import predictions
from robench.randomness import Randomness, borrowed_global_randomness, seed_from

CHUNK = 10
"""Steps between two looks at the losses: asking at every step would make a GPU wait."""


@dataclass(frozen=True, slots=True)
class Run:
    """One stage under way.

    Attributes:
        stage: what is trained and how.
        before: epochs of the stages before it.
        context: seed and progress.
        layout: memory format of the images.
        optimizer: over the stage's parameters.
        average: of the stage's weights.
        loss: of a batch, by the stage's objective.
        world: the processes that train together.
    """

    stage: Stage
    before: int
    context: TrainingContext
    layout: torch.memory_format
    optimizer: torch.optim.Optimizer
    average: Average
    loss: Loss
    world: World

    def epoch(self, data: ImageSet, epoch: int) -> dict[str, float]:
        """Train on every row once, or `replays` times in a row, and return what was seen.

        Args:
            data: the rows.
            epoch: counted from 0 over all stages.
        """
        options = self.stage.options
        self.stage.network.train(self.stage.parameters is None)
        seed = self.context.seed
        order = torch.randperm(
            len(data), generator=torch.Generator().manual_seed(seed_from(seed, "order", epoch))
        )
        parts = order.to(data.labels.device).tensor_split(-(-len(data) // options.batch_size))
        batches = [part for part in parts for _ in range(self.stage.replays)]
        total, steps = 0.0, len(batches)
        right = torch.zeros((), dtype=torch.int64, device=data.labels.device)
        for start in range(0, steps, CHUNK):
            chunk = range(start, min(start + CHUNK, steps))
            # Dropout draws from the global generator; a chunk's draws depend on nothing before it.
            with borrowed_global_randomness(seed_from(seed, "dropout", epoch, start, *self.world.label)):
                seen = [self._step(data, batches[step], epoch, step, steps) for step in chunk]
            summed = self.world.total(torch.stack([loss for loss, _ in seen]))
            losses = [loss / self.world.count for loss in summed.tolist()]
            for step, loss in zip(chunk, losses, strict=True):
                _check_number(loss, epoch, step, data.indices[batches[step]])
                total += loss * len(batches[step])
            right += self.world.total(torch.stack([count for _, count in seen]).sum())
            mean = sum(losses) / len(losses)
            self.context.progress({"epoch": epoch + 1, "step": chunk.stop, "steps": steps, "loss": mean})
        self.world.level(self.stage.network.buffers())
        self.average.after_epoch(self.stage.network, epoch - self.before)
        self.world.level(self.average.weights.values())
        shown = len(data) * self.stage.replays
        accuracy = "train_robust_accuracy" if self.stage.objective.adversarial else "train_accuracy"
        return {
            "epoch": epoch + 1,
            "loss": total / shown,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            accuracy: int(right) / shown,
        }

    def _step(self, data: ImageSet, rows: Tensor, epoch: int, step: int, steps: int) -> tuple[Tensor, Tensor]:
        """Descend once and return, still on the device, the loss and how many images were right."""
        options, own = self.stage.options, epoch - self.before
        rate = learning_rate(options, own * steps + step, options.epochs * steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        own_rows = self.world.share(rows)
        rng = Randomness(self.context.seed, data.indices[own_rows], ("training", epoch))
        x, y = data.batch(own_rows)
        if options.augmentation == "crop_flip":
            x = crop_flip(x, rng.split("augmentation"))
        x = x.contiguous(memory_format=self.layout)
        moment = Moment(own + (step + 0.5) / steps, rng.split("objective"))
        with computing(options.precision, x.device):
            loss, logits = self.loss(x, y, moment)
        loss = self.world.weighted(loss, len(own_rows), len(rows))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], options.clip_norm)
        self.optimizer.step()
        self.average.after_step(self.stage.network)
        return loss.detach(), (predictions(logits.detach()) == y).sum()


def _check_number(loss: float, epoch: int, step: int, images: Tensor) -> None:
    """Refuse to go on from a loss that is no number.

    Raises:
        DivergenceError: names epoch, step and images.
    """
    if not -torch.inf < loss < torch.inf:
        shown = ", ".join(map(str, images[:8].tolist())) + (", ..." if len(images) > 8 else "")
        raise DivergenceError(
            where=f"epoch {epoch + 1}, step {step + 1}",
            expected="a finite training loss",
            got=f"{loss} on images {shown}",
            do="Lower learning_rate, set clip_norm, or raise warmup_epochs",
        )
