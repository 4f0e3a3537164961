"""Training on noisy images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robench.model import DefenseInfo, TrainingContext

if TYPE_CHECKING:
    from torch import nn

    from robench.data import ImageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianTraining:
    """Minimise the cross-entropy on images with fresh Gaussian noise.

    Attributes:
        epochs: passes over the training images.
        sigma: standard deviation of the noise.
        learning_rate: of plain gradient descent.
        batch_size: images per step.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(title="Gaussian training", paper="robench's documentation")
    epochs: int = 10
    sigma: float = 0.1
    learning_rate: float = 0.1
    batch_size: int = 32

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train `network` in place; see `robench.model.Defense`."""
        import torch
        import torch.nn.functional as F

        from robench.randomness import Randomness, borrowed_global_randomness, seed_from

        modes = [(part, part.training) for part in network.modules()]
        network.to(context.device).train()
        wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(wanted, lr=self.learning_rate)
        history = []
        # Dropout draws from the global generator: lend it one of our own, so that nothing outside matters.
        with borrowed_global_randomness(seed_from(context.seed, "dropout")):
            for epoch in range(1, self.epochs + 1):
                order, total = torch.randperm(len(data)), 0.0
                for rows in order.split(self.batch_size):
                    x, y = data.batch(rows)
                    chance = Randomness(context.seed, data.indices[rows], ("noise", epoch))
                    noisy = (x + self.sigma * chance.normal(x)).clamp(0, 1).to(context.device)
                    loss = F.cross_entropy(network(noisy), y.to(context.device))
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    total += float(loss.detach()) * len(rows)
                history.append({"epoch": float(epoch), "loss": total / len(data)})
                context.progress(history[-1])
        optimizer.zero_grad(set_to_none=True)
        for part, training in modes:
            part.training = training
        return history
