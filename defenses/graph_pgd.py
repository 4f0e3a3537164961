"""PGD adversarial training through a graph head, by its exact adjoint. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from defenses.graph_natural import GraphTraining
from defenses.option_checks import one_of, require
from defenses.pgd_training import PGDTraining, attacked_loss
from defenses.training.inner_attack import InnerAttack
from robench.model.defense import DefenseInfo
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from defenses.graph.layer import GraphLayer
    from defenses.training.objective import BatchContext, Objective
    from robench.model.interface import Model
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPGD(GraphTraining, PGDTraining):
    """Like `graph_natural`, but each mini-batch is first attacked in the graph of its training step.

    Madry et al. 2018 (arXiv:1706.06083), equation 2.1, with the output of the head instead of the logits:
    the mini-batch is attacked as one joint batch through `source`, the template stays clean. Soon most u are
    corners of the simplex; there `exact` is zero and the attack is only its random start, which gives little
    robustness, so `straight_through` is the default. The weights are always trained by the exact adjoint.
    Checkpoints are chosen by accuracy under the same attack through `straight_through` on
    the held-out part, each image alone with `template` training images. The radius grows in the first stage
    only. The other options are those of `defenses.graph.options.GraphOptions` and
    `defenses.pgd_training.PGDTraining`.

    Attributes:
        source: gradient source of the inner attack during training.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="PGD adversarial training through a graph",
        paper="Brown et al. 2024, arXiv:2412.08016; Madry et al. 2018, arXiv:1706.06083",
        bibtex=paper("brown2024gll", "madry2018towards"),
    )
    epochs: int = 100
    learning_rate: float = 0.01
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "cosine"
    source: Literal["exact", "straight_through", "linear", "kernel"] = "straight_through"

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        GraphTraining.__post_init__(self)
        one_of("source", self.source, ("exact", "straight_through", "linear", "kernel"))
        require(
            self.attack_precision == "float32",
            "attack_precision",
            "float32, in which a graph is solved",
            self.attack_precision,
        )

    def linear_objective(self, network: nn.Module, classes: int) -> Objective:
        """Return the loss on images attacked through the linear branch."""
        return attacked_loss(self, network, classes)

    def graph_objective(self, layer: GraphLayer) -> Objective:
        """Return the loss on images attacked in their graph."""
        return _AttackedGraphLoss(self, layer)


@dataclass(frozen=True, slots=True)
class _AttackedGraphLoss:
    adversarial: ClassVar[bool] = True
    options: GraphPGD
    layer: GraphLayer

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss of attacked images in their graph, and the rows (B, K); see `GraphLayer.step`.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: the progress of the stage, and the randomness of these images.
        """

        def craft(model: Model, x: Images, y: Labels, rng: Randomness) -> Images:
            """Return the attacked images (B, C, H, W) of a graph with its template."""
            inner = self._inner(model, self.options.source)
            return inner.craft(x, y, rng, self.options.radius(batch.epochs_passed))

        return self.layer.step(x, y, batch.rng, craft)

    def survives(self, x: Images, y: Labels, rng: Randomness) -> Mask:
        """Tell which images (B,) withstand the attack on the model of `validation_model`, at the full radius.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            rng: randomness of these images.
        """
        model = self.layer.validator
        assert model is not None  # the loop asked for the model first
        name = "straight_through" if "straight_through" in model.sources else "kernel"
        return self._inner(model, name).survives(x, y, rng, self.options.eps)

    def _inner(self, model: Model, name: str) -> InnerAttack:
        source, options = model.source(name), self.options
        return InnerAttack(
            model=model, norm=options.norm, attack=options.attack(), mode=options.attack_mode, source=source
        )
