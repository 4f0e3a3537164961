"""One step through a graph head: a new template, one graph with the mini-batch, gradients to both.

The features of template and mini-batch come from one pass through the network in training mode, and the
gradient of the loss goes to both, as in Brown et al. 2024 (arXiv:2412.08016), who add labelled base points to
the mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import nn

from defenses.graph.options import GraphOptions
from defenses.training.objective import BatchContext, CleanObjective
from robench.attack.losses import cross_entropy
from robench.data.images import ImageSet
from robench.model.defense import TrainingContext
from robench.model.interface import Model, OutputKind
from robench.randomness import Randomness, seed_from
from robench.types import Images, Labels, Outputs, RowNumbers, Scalar

Craft = Callable[[Model, Images, Labels, Randomness], Images]
"""Model, images (B, C, H, W), labels (B,) and their randomness to the training images (B, C, H, W)."""

FLOOR = 1e-8
"""Added to u_y before its logarithm, as in the authors' code: the slope of the loss stays finite."""


@dataclass(slots=True)
class GraphLayer:
    """Puts a graph head on the network with its present weights.

    Attributes:
        network: images to logits, with features.
        training_set: the training rows, on the CPU.
        options: options of the stage.
        context: seed and device.
        validator: the last result of `validation_model`, the model that classifies the held-out part.
    """

    network: nn.Module
    training_set: ImageSet
    options: GraphOptions
    context: TrainingContext
    validator: Model | None = field(default=None, init=False)

    def template(self, rng: Randomness) -> ImageSet:
        """Return the template of a step: T random training images (T, C, H, W), in class order.

        There are `per_class` of each class, fewer of a class that has less than twice as many.

        Images of the mini-batch are used only if a class has too few others, and never all of a class.

        Args:
            rng: randomness of the mini-batch, whose `images` are the indices of its rows.
        """
        labels, indices = self.training_set.labels, self.training_set.indices
        generator = torch.Generator().manual_seed(seed_from(rng.torch_seed(), "template"))
        order = torch.randperm(len(labels), generator=generator)
        inside = torch.isin(indices[order], rng.images.cpu())
        order = order[inside.to(torch.int8).argsort(stable=True)]
        parts = []
        for label in range(len(self.training_set.classes)):
            rows = order[labels[order] == label]
            parts.append(rows[: min(self.options.per_class, max(len(rows) // 2, 1))])
        return self.training_set.subset(torch.cat(parts))

    def queries(self, template: ImageSet, rng: Randomness) -> RowNumbers:
        """Return the rows (n,) of the mini-batch that are not template images, as int64 row numbers."""
        rows = (~torch.isin(rng.images.cpu(), template.indices)).nonzero().squeeze(1)
        return rows.to(rng.images.device)

    def joint_model(self, template: ImageSet) -> Model:
        """Return the model with the head: a batch shares one graph with the template (T, C, H, W)."""
        return self._with_head(template, len(template), protocol="joint", seed=0)

    def loss(self, model: Model, x: Images, y: Labels) -> tuple[Scalar, Outputs]:
        """Return the mean loss of images (B, C, H, W) in one graph with the template, and rows (B, K).

        The value is that of the graph; a trained linear branch is trained too, on detached features, so that
        it stays a good surrogate.

        Args:
            model: the result of `joint_model`.
            x: images (B, C, H, W) in [0, 1] of the mini-batch.
            y: their labels (B,), from 0 to K - 1.

        Returns:
            The loss, a scalar, NaN where a feature is not finite: the loop reports the step. The rows (B, K)
            are of the head's output kind, zeros where the loss is NaN.
        """
        around = model.neighbourhood
        assert around is not None  # every graph head has a neighbourhood
        images = around.memory().images.to(x)
        z = around.features(torch.cat([images, x]))
        points, queries = z[: len(images)], z[len(images) :]
        if not bool(torch.isfinite(z).all()):  # the training loop reports it
            return z.sum() * torch.nan, z.new_zeros(len(x), model.classes)
        u = around.classify(queries, points)
        if model.output is OutputKind.SIMPLEX:
            value = -(u.gather(1, y[:, None]).squeeze(1) + FLOOR).log().mean()
        else:
            value = cross_entropy(u, y, model.output).mean()
        if around.linear is not None:
            branch = F.cross_entropy(around.linear(queries.detach()), y)
            value = value + branch - branch.detach()
        return value, u

    def step(
        self, x: Images, y: Labels, rng: Randomness, craft: Craft | None = None
    ) -> tuple[Scalar, Outputs]:
        """Return the mean loss of a mini-batch with its own template, and rows (B, K).

        Template images are not trained on: their rows are zeros, a tie, which counts as no class.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: their labels (B,), from 0 to K - 1.
            rng: their randomness; `rng.images` has their indices.
            craft: changes the images first, in their graph with the template.
        """
        classes = len(self.training_set.classes)
        weights = [p for p in self.network.parameters() if p.requires_grad]
        if not all(bool(torch.isfinite(p).all()) for p in weights):  # the training loop reports it
            return weights[0].sum() * torch.nan, x.new_zeros(len(x), classes)
        template = self.template(rng)
        rows = self.queries(template, rng)
        model, images, labels = self.joint_model(template), x[rows], y[rows]
        if craft is not None:
            images = craft(model, images, labels, replace(rng, images=rng.images[rows]))
        loss, u = self.loss(model, images, labels)
        return loss, u.detach().new_zeros(len(x), classes).index_copy(0, rows, u.detach())

    def validation_model(self) -> Model:
        """Return the model that classifies the held-out part: each image alone with one fixed template."""
        data = self.training_set.labelled()
        size = min(self.options.template, len(data))
        seed = seed_from(self.context.seed, "judge")
        self.validator = self._with_head(data, size, protocol="independent", seed=seed)
        return self.validator

    def _with_head(self, data: ImageSet, size: int, *, protocol: str, seed: int) -> Model:
        head = self.options.recipe(protocol=protocol, template=size)
        return with_head(head, self.network, data, seed=seed, device=self.context.device)


def with_head(
    head: Callable[..., Model], network: nn.Module, data: ImageSet, *, seed: int, device: str
) -> Model:
    """Return a network in training under a graph head, whose template is drawn from the data by the seed.

    Args:
        head: the recipe of the head.
        network: images (B, C, H, W) in [0, 1] to logits (B, K), with features.
        data: training images (N, C, H, W), which the template is drawn from.
        seed: the only source of randomness.
        device: where the model computes.
    """
    return head(
        network,
        name="in training",
        classes=len(data.classes),
        training_data=lambda: data,
        seed=seed,
        device=device,
        details={},
    )


@dataclass(frozen=True, slots=True)
class GraphLoss(CleanObjective):
    """The objective of training through a graph on clean images; it knows of no attack."""

    layer: GraphLayer

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss and the rows (B, K); see `GraphLayer.step`.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: its randomness draws the template; the progress is not used.
        """
        return self.layer.step(x, y, batch.rng)
