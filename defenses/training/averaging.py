"""Weight averaging: the judged and stored weights are a mean over the weights during training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from defenses.training.options import TrainingOptions
from defenses.training.training_state import Weights
from robench.data.images import ImageSet

EVALUATION_BATCH = 250
"""Images per pass without gradient."""


@dataclass(slots=True)
class Average:
    """The mean of a network's weights so far.

    `ema`: after every step a <- d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)), batch-norm
    statistics included (Polyak & Juditsky 1992; the ramp is TensorFlow's). `swa`: the plain mean over the
    ends of epochs from `average_start` on, with batch-norm statistics measured on the training rows
    (Izmailov et al. 2018, arXiv:1803.05407, section 3.2).

    Attributes:
        options: the kind, its decay or its start.
        weights: the mean; empty before the first entry.
        count: entries so far.
    """

    options: TrainingOptions
    weights: Weights = field(default_factory=dict)
    count: int = 0

    def after_step(self, network: nn.Module) -> None:
        """Add the weights to the mean, if every step counts."""
        if self.options.average == "ema":
            ramp = (1 + self.count) / (10 + self.count)
            self._take(network, 1 - min(self.options.average_decay, ramp))

    def after_epoch(self, network: nn.Module, epoch: int) -> None:
        """Add the weights, if ends of epochs count and this one (counted from 0) is late enough."""
        if self.options.average == "swa" and epoch >= self.options.average_start * self.options.epochs:
            self._take(network, 1 / (self.count + 1))

    @contextmanager
    def applied(self, network: nn.Module, rows: ImageSet, layout: torch.memory_format) -> Iterator[None]:
        """Inside the block the network has the mean weights, if there are any; afterwards its own.

        Args:
            network: images (B, C, H, W) in [0, 1] to logits (B, K).
            rows: training images (N, C, H, W), on which batch norm is measured anew for `swa`.
            layout: the memory layout of the images.
        """
        if not self.count:
            yield
            return
        own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self.weights)
        if self.options.average == "swa":
            _measure(network, rows, layout)
        try:
            yield
        finally:
            network.load_state_dict(own)

    @torch.no_grad()
    def _take(self, network: nn.Module, share: float) -> None:
        """Move the mean towards the network's weights by a share of the distance."""
        for name, tensor in network.state_dict().items():
            mean = self.weights.get(name)
            if mean is None:
                self.weights[name] = tensor.detach().clone()
            elif tensor.is_floating_point():
                mean.lerp_(tensor, share)
            else:
                mean.copy_(tensor)
        self.count += 1


@torch.no_grad()
def _measure(network: nn.Module, rows: ImageSet, layout: torch.memory_format) -> None:
    """Set the running statistics of batch-norm to the means over the rows; other layers evaluate."""
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    if not norms:
        return
    modes = [(part, part.training) for part in network.modules()]
    momenta = [part.momentum for part in norms]
    network.eval()
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # the plain mean over batches
        part.train()
    for start in range(0, len(rows), EVALUATION_BATCH):
        x, _ = rows.batch(slice(start, start + EVALUATION_BATCH))
        network(x.contiguous(memory_format=layout))
    for part, momentum in zip(norms, momenta, strict=True):
        part.momentum = momentum
    for module, training in modes:
        module.training = training
