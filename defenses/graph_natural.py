"""Natural training through a graph head, by its exact adjoint. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.graph.options import GraphOptions, stages_of
from defenses.natural import CleanLoss
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from defenses.graph.layer import GraphLayer
    from defenses.training.objective import Objective
    from robench.data.images import ImageSet


@dataclass(frozen=True, kw_only=True)  # no slots: it is mixed into classes that have some
class GraphTraining(GraphOptions):
    """Trains the whole network through a graph head; on clean images, unless a subclass says otherwise."""

    epochs: int = 100
    batch_size: int = 250
    learning_rate: float = 0.01
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "cosine"
    clip_norm: float | None = 5.0

    def linear_objective(self, network: nn.Module, classes: int) -> Objective:
        """Return the objective of the stage through the linear branch; `self` are the stage's options."""
        del classes
        return CleanLoss(network)

    def graph_objective(self, layer: GraphLayer) -> Objective:
        """Return the objective of the stage through the graph; `self` are the stage's options."""
        from defenses.graph.layer import GraphLoss

        return GraphLoss(layer)

    def check(self, data: ImageSet, *, seed: int) -> None:
        """Refuse data whose graphs could not be built.

        Args:
            data: the training split or a subset of it, images (N, C, H, W).
            seed: seed of the training.

        Raises:
            InputError: a class has no labelled image or only one, or a graph has fewer template images than
                neighbours.
        """
        from defenses.training.split import split
        from robench.data.images import check_coverage
        from robench.errors import InputError, RobenchError
        from robench.randomness import seed_from

        check_coverage(data, where="training through a graph")
        training_set, _ = split(data, self.validation, seed)
        training_set = training_set.labelled()
        check_coverage(training_set, where="the rows learned from")
        counts = training_set.labels.bincount(minlength=len(data.classes))
        if int(counts.min()) < 2:
            raise InputError(
                where="training through a graph",
                expected="two images of every class: one for the template, one to learn from",
                got=f"one of class {data.classes[int(counts.argmin())]}",
                do="Train on more images",
            )
        size = int((counts // 2).clamp_max(self.per_class).sum())
        for protocol, count in (
            ("joint", size),
            ("independent", min(self.template, len(training_set))),
        ):
            try:
                head = self.recipe(protocol=protocol, template=count)
            except RobenchError as error:
                raise InputError(
                    where="training through a graph",
                    expected=f"a template that the head {self.head!r} takes",
                    got=f"{count} images: {error}",
                    do="Raise per_class and template, lower m, or train on more images",
                ) from None
            if protocol == "independent":
                head.check(lambda: training_set, classes=len(data.classes), seed=seed_from(seed, "judge"))

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`.

        Raises:
            InputError: see `check`; or the last layer is not linear.
        """
        from defenses.graph.layer import GraphLayer
        from defenses.training.loop import train_stages
        from defenses.training.objective import Stage
        from defenses.training.split import split

        self.check(data, seed=context.seed)
        training_set, validation_set = split(data, self.validation, context.seed)
        training_set = training_set.labelled()
        linear, graph = stages_of(self)
        layer = GraphLayer(network, training_set, options=graph, context=context)
        stages = []
        if linear is not None:
            objective = linear.linear_objective(network, len(data.classes))
            stages = [Stage(network=network, objective=objective, options=linear, training_set=training_set)]
        stages.append(
            Stage(
                network=network,
                objective=graph.graph_objective(layer),
                options=graph,
                training_set=training_set,
                classifier=layer.validation_model,
            )
        )
        return train_stages(
            stages, network=network, data=data, validation_set=validation_set, options=self, context=context
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNatural(GraphTraining):
    """The loss at the output of a graph head, differentiated exactly through graph and features.

    Brown et al. 2024 (arXiv:2412.08016): labelled base points join each mini-batch in one graph, and
    dL/du goes through the adjoint of the head's equation, its weights and scales into the features of both.
    Ours: base points are drawn at every step (the authors' code draws new ones every few epochs), they
    are not augmented, and none is an image of the mini-batch; the gradient of all parameters is clipped.
    The linear branch is trained too, on detached features; it changes nothing else. Checkpoints are chosen
    by the head, each held-out image alone with `template` training images. The other options are those of
    `defenses.training.options.TrainingOptions` and `defenses.graph.options.GraphOptions`.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Training through a graph",
        paper="Brown et al. 2024, arXiv:2412.08016",
        bibtex=paper("brown2024gll"),
    )
