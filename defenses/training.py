"""The loop every training defense shares: held-out part, order, checkpoint choice, resume.

Every random choice is a function of (seed, epoch, step or image), never of a global generator.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from defenses.schedule import TrainingOptions, learning_rate
from defenses.training_state import TrainingState, Weights, load_state, save_state
from robench.data import ImageSet
from robench.defense import TrainingContext
from robench.errors import ConfigError, InputError, JobError
from robench.model import predictions
from robench.randomness import Randomness, borrowed_global_randomness, seed_from
from robench.recipe import options_of
from robench.types import Images, Labels, Mask, Outputs

CHUNK = 10
"""Steps between two looks at the losses: asking at every step would make a GPU wait."""
EVALUATED = 250
"""Images per pass on the held-out part."""
PADDING = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """When an objective is asked, and about which images.

    Attributes:
        passed: epochs passed, with the fraction of the current one.
        rng: per-image randomness of this epoch.
    """

    passed: float
    rng: Randomness


class Objective(Protocol):
    """What is minimised, and by which accuracy checkpoints are chosen."""

    def loss(self, x: Images, y: Labels, moment: Moment) -> tuple[Tensor, Outputs]:
        """Return the mean loss of a batch, ready for `backward`, and the logits (B, K) it was taken at."""
        ...

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask | None:
        """Tell which correctly classified images withstand the attack, (B,); None if it knows of none."""
        ...


def train(
    network: nn.Module,
    data: ImageSet,
    objective: Objective,
    *,
    options: TrainingOptions,
    context: TrainingContext,
) -> list[dict[str, float]]:
    """Train `network` in place by SGD and return one row of history per epoch.

    A row has `epoch`, `loss` and `train_accuracy` (on what was trained on: attacked images in adversarial
    training), `learning_rate` (of the last step), `seconds`, and, where a part is held out,
    `validation_accuracy` and `validation_robust_accuracy`. The network comes back on `context.device`, each
    of its parts in the mode it had.

    Args:
        network: images in [0, 1] to logits (B, K).
        data: the training split or a subset of it; part of it is held out.
        objective: what to minimise; it may hold `network`.
        options: the recipe; all its options are part of the state's identity.
        context: seed, device, state file, progress.

    Raises:
        JobError: the loss stopped being a number.
        ConfigError: the state belongs to another training, or the network has nothing to train.
        InputError: too few images to hold some out.
    """
    learner, held_out = split(data, options.validation, context.seed)
    identity = _identity(network, data, options, context)
    with _prepared(network, torch.device(context.device)) as layout:
        optimizer = _optimizer(network, options)
        run = _Run(network, objective, options, context, layout, optimizer)
        state = load_state(context.state, identity) if context.state else None
        if state:
            network.load_state_dict(state.network)
            optimizer.load_state_dict(state.optimizer)
        else:
            state = TrainingState(identity=identity, epoch=0, network={}, optimizer={})
        learner = _placed(learner, context.device)
        held_out = _placed(held_out, context.device) if held_out else None
        while state.epoch < options.epochs:
            started = time.perf_counter()
            row = run.epoch(learner, state.epoch)
            score = -1.0
            if held_out:
                natural, robust = run.evaluate(held_out)
                row["validation_accuracy"] = score = natural
                if robust is not None:
                    row["validation_robust_accuracy"] = score = robust
            row["seconds"] = time.perf_counter() - started
            state.epoch += 1
            state.history.append(row)
            state.network, state.optimizer = network.state_dict(), optimizer.state_dict()
            if options.keep == "best" and score > state.score:
                state.best, state.score = _copied(network.state_dict()), score
            if context.state:
                save_state(context.state, state)
            context.progress(row)
        if state.best is not None:
            network.load_state_dict(state.best)
    return state.history


@dataclass(frozen=True, slots=True)
class _Run:
    """One training under way."""

    network: nn.Module
    objective: Objective
    options: TrainingOptions
    context: TrainingContext
    layout: torch.memory_format
    optimizer: torch.optim.SGD

    def epoch(self, data: ImageSet, epoch: int) -> dict[str, float]:
        """Train on every row once and return what was seen."""
        self.network.train()
        seed = self.context.seed
        order = torch.randperm(
            len(data), generator=torch.Generator().manual_seed(seed_from(seed, "order", epoch))
        )
        batches = order.to(data.labels.device).tensor_split(-(-len(data) // self.options.batch_size))
        total, steps = 0.0, len(batches)
        right = torch.zeros((), dtype=torch.int64, device=data.labels.device)
        for start in range(0, steps, CHUNK):
            chunk = range(start, min(start + CHUNK, steps))
            # Dropout draws from the global generator; a chunk's draws depend on nothing before it.
            with borrowed_global_randomness(seed_from(seed, "dropout", epoch, start)):
                seen = [self._step(data, batches[step], epoch, step, steps) for step in chunk]
            losses = torch.stack([loss for loss, _ in seen]).tolist()
            for step, loss in zip(chunk, losses, strict=True):
                _check_number(loss, epoch, step, data.indices[batches[step]])
                total += loss * len(batches[step])
            right += torch.stack([count for _, count in seen]).sum()
            mean = sum(losses) / len(losses)
            self.context.progress({"epoch": epoch + 1, "step": chunk.stop, "steps": steps, "loss": mean})
        return {
            "epoch": epoch + 1,
            "loss": total / len(data),
            "train_accuracy": int(right) / len(data),
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
        }

    def _step(self, data: ImageSet, rows: Tensor, epoch: int, step: int, steps: int) -> tuple[Tensor, Tensor]:
        """Descend once and return, still on the device, the loss and how many images were right."""
        rate = learning_rate(self.options, epoch * steps + step, self.options.epochs * steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rng = Randomness(self.context.seed, data.indices[rows], ("training", epoch))
        x, y = data.batch(rows)
        if self.options.augmentation == "crop_flip":
            x = crop_flip(x, rng.split("augmentation"))
        x = x.contiguous(memory_format=self.layout)
        loss, logits = self.objective.loss(x, y, Moment(epoch + (step + 0.5) / steps, rng.split("objective")))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], self.options.clip_norm)
        self.optimizer.step()
        return loss.detach(), (logits.detach().argmax(dim=1) == y).sum()

    def evaluate(self, data: ImageSet) -> tuple[float, float | None]:
        """Return natural and robust accuracy; every epoch is asked with the same random starts."""
        self.network.eval()
        natural = robust = 0
        attacked = True
        for rows in torch.split(torch.arange(len(data), device=data.labels.device), EVALUATED):
            x, y = data.batch(rows)
            x = x.contiguous(memory_format=self.layout)
            with torch.no_grad():
                correct = predictions(self.network(x)) == y
            natural += int(correct.sum())
            if attacked and bool(correct.any()):
                rng = Randomness(self.context.seed, data.indices[rows[correct]], ("validation",))
                with borrowed_global_randomness(rng.torch_seed()):
                    x = x[correct].contiguous(memory_format=self.layout)
                    survivors = self.objective.survives(x, y[correct], rng)
                attacked = survivors is not None
                robust += 0 if survivors is None else int(survivors.sum())
        return natural / len(data), robust / len(data) if attacked else None


def _optimizer(network: nn.Module, options: TrainingOptions) -> torch.optim.SGD:
    """Return SGD over what the network lets be trained.

    Raises:
        ConfigError: that is nothing.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not parameters:
        raise ConfigError(
            where="train",
            expected="a network with parameters to train",
            got="none",
            do="Remove `train`, or choose another architecture",
        )
    return torch.optim.SGD(
        parameters,
        lr=options.learning_rate,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )


def split(data: ImageSet, fraction: float, seed: int) -> tuple[ImageSet, ImageSet | None]:
    """Return disjoint parts to learn from and to choose the checkpoint by.

    Raises:
        InputError: nothing would be left to learn from.
    """
    if not fraction:
        return data, None
    count = max(1, round(fraction * len(data)))
    if count >= len(data):
        raise InputError(where="validation", expected="images left to train on", got=f"{len(data)} in all")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed_from(seed, "validation")))
    return data.subset(order[count:].sort().values), data.subset(order[:count].sort().values)


def crop_flip(x: Images, rng: Randomness) -> Images:
    """Return crops of the images padded by 4 black pixels, half of them mirrored (He et al. 2016)."""
    count, _, height, width = x.shape
    drawn = rng.uniform(x.new_empty(count, 3))
    down, right = (drawn[:, :2] * (2 * PADDING + 1)).long().unbind(dim=1)
    across = torch.arange(width, device=x.device).expand(count, width)
    across = torch.where(drawn[:, 2:] < 0.5, across.flip(1), across) + right[:, None]
    along = torch.arange(height, device=x.device) + down[:, None]
    image = torch.arange(count, device=x.device)[:, None, None]
    padded = F.pad(x, (PADDING,) * 4).permute(0, 2, 3, 1)
    return padded[image, along[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)


@contextmanager
def _prepared(network: nn.Module, device: torch.device) -> Iterator[torch.memory_format]:
    """Move the network, yield the layout of its images; afterwards put back layout and modes.

    On a CPU convolutions run about 1.5 times as fast on channels-last tensors.
    """
    modes = [(part, part.training) for part in network.modules()]
    network.to(device)
    channels_last = device.type == "cpu" and any(isinstance(part, nn.Conv2d) for part, _ in modes)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    try:
        yield torch.channels_last if channels_last else torch.contiguous_format
    finally:
        if channels_last:
            network.to(memory_format=torch.contiguous_format)
        network.zero_grad(set_to_none=True)
        for part, training in modes:
            part.training = training


def _identity(
    network: nn.Module, data: ImageSet, options: TrainingOptions, context: TrainingContext
) -> dict[str, Any]:
    """Return everything that decides what the weights become."""
    whole = {
        "identity": context.identity,
        "seed": context.seed,
        "defense": {"recipe": type(options).__name__, **options_of(options)},
        "data": {"name": data.name, "images": len(data), "sha256": data.digest()},
        "network": {name: list(tensor.shape) for name, tensor in network.state_dict().items()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(whole, default=lambda value: type(value).__qualname__))
    return plain


def _placed(data: ImageSet, device: str) -> ImageSet:
    return replace(
        data,
        images=data.images.to(device),
        labels=data.labels.to(device),
        indices=data.indices.to(device),
    )


def _copied(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def _check_number(loss: float, epoch: int, step: int, images: Tensor) -> None:
    """Refuse to go on from a loss that is no number.

    Raises:
        JobError: names epoch, step and images.
    """
    if not -torch.inf < loss < torch.inf:
        shown = ", ".join(map(str, images[:8].tolist())) + (", ..." if len(images) > 8 else "")
        raise JobError(
            where=f"epoch {epoch + 1}, step {step + 1}",
            expected="a finite training loss",
            got=f"{loss} on images {shown}",
            do="Lower learning_rate, set clip_norm, or raise warmup_epochs",
        )
