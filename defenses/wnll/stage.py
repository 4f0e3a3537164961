"""The WNLL stage: labels interpolated on a graph, and a gradient for the buffer layer (paper Eq. 13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from defenses.graph.layer import with_head
from defenses.training.objective import BatchContext, CleanObjective
from defenses.wnll.backbone import Backbone, BackboneCache, BackboneOutputs, Tail, through_backbone
from defenses.wnll.options import WNLLOptions
from robench import plugins
from robench.attack.losses import cross_entropy
from robench.data.images import ImageSet
from robench.errors import ConfigError
from robench.model.defense import TrainingContext
from robench.model.interface import Model, OutputKind
from robench.randomness import Randomness, seed_from
from robench.types import Images, Labels, Outputs, Scalar, Values


@dataclass(slots=True)
class WNLLStage:
    """Puts the head `wnll` on the network with its present weights; templates come from one half of the data.

    The head computes a template's features once, so it is built again whenever weights may have changed. If
    the outputs of the frozen backbone are known, only the buffer layer is applied to them.

    Attributes:
        network: features, buffer and linear branch.
        template: the template half, and the images without a label if there are some; on the CPU.
        options: options of the stage.
        context: seed and device.
        training_set: the training rows.
        cache: outputs of the backbone, computed once per stage; None computes everything at every step.
        validator: the last result of `validation_model`, the model that classifies the held-out part.
    """

    network: nn.Module
    template: ImageSet
    options: WNLLOptions
    context: TrainingContext
    training_set: ImageSet | None = None
    cache: BackboneCache | None = None
    validator: Model | None = field(default=None, init=False)

    def training_model(self, rng: Randomness) -> Model:
        """Return the joint model of one step: batch and template share a graph (Algorithm 1, line 11).

        It takes images (B, C, H, W); the template's part of the backbone is computed once per stage.
        """
        outputs = self._backbone_outputs(None)
        if outputs is None:
            return self._joint(rng, self.network, self.template)
        return through_backbone(
            Backbone(self.network), self._joint(rng, Tail(self.network), outputs.template)
        )

    def clean_loss(self, x: Images, y: Labels, rng: Randomness) -> tuple[Scalar, Outputs]:
        """Return the mean loss and u (B, K) of clean images, or of their augmented copies; see `loss`.

        Args:
            x: images (B, C, H, W) in [0, 1] of `training_set`.
            y: their labels (B,).
            rng: their randomness; `rng.images` has their indices.
        """
        outputs = self._backbone_outputs(self.training_set if self.options.augmentation == "none" else None)
        h = outputs.batch(rng.images) if outputs else None
        if outputs is None or h is None:
            return self.loss(self.training_model(rng), x, y)
        model = self._joint(rng, Tail(self.network), outputs.template)
        return self.loss(model, h.to(x.device), y)

    def loss(self, model: Model, x: Values, y: Labels) -> tuple[Scalar, Outputs]:
        """Return the mean loss at the WNLL output, and u (B, K), whose rows are on the simplex.

        The gradient of the loss goes through the linear branch (Wang & Osher 2019, Eq. 13).

        Args:
            model: a result of `training_model`, or one that takes backbone outputs.
            x: the images (B, C, H, W) in [0, 1], or their backbone outputs (B, ...), that the model takes.
            y: labels (B,), from 0 to K - 1.
        """
        surrogate, u = model.source("straight_through").surrogate(x)
        return surrogate_loss(surrogate, u, y, self.options.surrogate), u

    def validation_model(self) -> Model:
        """Return the model that classifies the held-out part: each image alone with one fixed template.

        It uses the independent protocol, because only the correctly classified images of a batch are
        attacked, and in a joint graph leaving some out would change the others' predictions. Nothing is
        cached, because the network may have averaged weights.
        """
        seed = seed_from(self.context.seed, "judge")
        self.validator = self._with_head(self.network, self.template, seed, protocol="independent")
        return self.validator

    def _backbone_outputs(self, training_set: ImageSet | None) -> BackboneOutputs | None:
        """Return the cached backbone outputs (N, ...), None without a cache or without fixed outputs."""
        return self.cache.of(self.template, training_set) if self.cache else None

    def _joint(self, rng: Randomness, network: nn.Module, template: ImageSet) -> Model:
        seed = seed_from(rng.torch_seed(), "template")
        others = min(self.options.unlabelled_per_step(), len(template.unlabelled()))
        extra = {"unlabelled": others} if others else {}
        return self._with_head(network, template, seed, protocol="joint", **extra)

    def _with_head(self, network: nn.Module, template: ImageSet, seed: int, **head_options: Any) -> Model:
        """Return a network under the head, with a template drawn by the seed."""
        options = self.options
        size = min(options.template, len(template.labelled()))
        head_options |= {"m": options.m, "n": options.n, "template": size}
        head = plugins.find("heads", "wnll")(**head_options)
        return with_head(head, network, template, seed=seed, device=self.context.device)


@dataclass(frozen=True, slots=True)
class InterpolatedLoss(CleanObjective):
    """The objective of a WNLL stage on clean images; it knows of no attack."""

    stage: WNLLStage

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss and u (B, K), whose rows are on the simplex; see `WNLLStage.clean_loss`.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: its randomness draws the template; the progress is not used.
        """
        return self.stage.clean_loss(x, y, batch.rng)


def surrogate_loss(surrogate: Outputs, u: Outputs, y: Labels, kind: str) -> Scalar:
    """Return the mean of -log u_y with the gradient of Eq. 13.

    Args:
        surrogate: has the value u (B, K) and passes its gradient to the logits unchanged.
        u: the WNLL output (B, K), rows on the simplex.
        y: labels (B,), from 0 to K - 1.
        kind: `logits` or `simplex`; see `WNLLOptions`.
    """
    if kind == "simplex":
        return cross_entropy(surrogate, y, OutputKind.SIMPLEX).mean()
    value = cross_entropy(u.detach(), y, OutputKind.SIMPLEX)
    slope = u.detach() - nn.functional.one_hot(y, u.shape[1])
    linear = (slope * surrogate).sum(dim=1)
    return (value + linear - linear.detach()).mean()


def buffer_parameters(network: nn.Module) -> tuple[nn.Parameter, ...]:
    """Return the parameters of the buffer layer, all that a WNLL stage trains.

    Raises:
        ConfigError: the network has no buffer layer, or no linear branch to send gradients through.
    """
    buffer = getattr(network, "buffer", None)
    parameters = tuple(buffer.parameters()) if isinstance(buffer, nn.Module) else ()
    linear = getattr(network, "linear", None)
    if not parameters or not isinstance(linear, nn.Module):
        raise ConfigError(
            where="WNLL training",
            expected="a network with a buffer layer and a linear branch (Wang & Osher 2019, Fig. 2)",
            got=f"{type(network).__name__} without a buffer" if not parameters else "no linear branch",
            do="Set `buffer` to its width, such as 128, in the model",
        )
    return parameters
