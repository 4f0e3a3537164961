"""The WNLL stage: labels interpolated on a graph, and a gradient for the buffer layer (paper Eq. 13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from defenses.training.objective import Moment
from defenses.wnll.frozen import FrozenOutputs, Remembered, Tail, Trunk, behind
from defenses.wnll.training import WNLLTraining
from robench import plugins
from robench.attack.losses import cross_entropy
from robench.data.images import ImageSet
from robench.errors import ConfigError
from robench.model.defense import TrainingContext
from robench.model.interface import Model, OutputKind
from robench.randomness import Randomness, seed_from
from robench.types import Images, Labels, Outputs


@dataclass(slots=True)
class WNLLStage:
    """Puts the head `wnll` on the network as it is now; its templates come from one half of the data.

    The head computes a template's features once, so it is made anew whenever weights may have changed. Where
    the outputs of the frozen backbone are known, only the buffer layer is applied to them.

    Attributes:
        network: features, buffer and linear branch.
        template: the template half, and the images without a label if there are some; on the CPU.
        options: those of the stage.
        context: seed and device.
        learner: the rows learned from.
        frozen: what is computed once per stage; None computes everything at every step.
        judged: the model that classifies the held-out part, as `judge` made it last.
    """

    network: nn.Module
    template: ImageSet
    options: WNLLTraining
    context: TrainingContext
    learner: ImageSet | None = None
    frozen: FrozenOutputs | None = None
    judged: Model | None = field(default=None, init=False)

    def training_model(self, rng: Randomness) -> Model:
        """Return the joint model of one step: batch and template share a graph (Algorithm 1, line 11).

        It takes images; the template's part of the backbone is computed once per stage.
        """
        known = self._known(None)
        if known is None:
            return self._joint(rng, self.network, self.template)
        return behind(Trunk(self.network), self._joint(rng, Tail(self.network), known.template))

    def clean_loss(self, x: Images, y: Labels, rng: Randomness) -> tuple[Tensor, Outputs]:
        """Return `loss` of images that are still those of `learner`, or of their augmented copies."""
        known = self._known(self.learner if self.options.augmentation == "none" else None)
        outputs = known.batch(rng.images) if known else None
        if known is None or outputs is None:
            return self.loss(self.training_model(rng), x, y)
        model = self._joint(rng, Tail(self.network), known.template)
        return self.loss(model, outputs.to(x.device), y)

    def loss(self, model: Model, x: Images, y: Labels) -> tuple[Tensor, Outputs]:
        """Return the loss at the WNLL output, whose gradient goes through the linear branch, and u (B, K)."""
        surrogate, u = model.source("straight_through").surrogate(x)
        return surrogate_loss(surrogate, u, y, self.options.surrogate), u

    def judge(self) -> Model:
        """Return the model that classifies the held-out part: each image alone with one fixed template.

        The independent protocol, because only the correctly classified images of a batch are attacked, and
        in a joint graph leaving some out would change the others' predictions. Everything is computed anew:
        averaged weights may be in place.
        """
        seed = seed_from(self.context.seed, "judge")
        self.judged = self._headed(self.network, self.template, seed, protocol="independent")
        return self.judged

    def _known(self, learner: ImageSet | None) -> Remembered | None:
        return self.frozen.of(self.template, learner) if self.frozen else None

    def _joint(self, rng: Randomness, network: nn.Module, template: ImageSet) -> Model:
        seed = seed_from(rng.torch_seed(), "template")
        others = min(self.options.unlabelled_per_step(), len(template.unlabelled()))
        extra = {"unlabelled": others} if others else {}
        return self._headed(network, template, seed, protocol="joint", **extra)

    def _headed(self, network: nn.Module, template: ImageSet, seed: int, **chosen: Any) -> Model:
        """Return a network under the head, with a template drawn by the seed."""
        options = self.options
        size = min(options.template, len(template.labelled()))
        chosen |= {"m": options.m, "n": options.n, "template": size}
        head = plugins.find("heads", "wnll")(**chosen)
        made: Model = head(
            network,
            name="in training",
            classes=len(template.classes),
            training_data=lambda: template,
            seed=seed,
            device=self.context.device,
            details={},
        )
        return made


@dataclass(frozen=True, slots=True)
class InterpolatedLoss:
    """The objective of a WNLL stage on clean images; it knows of no attack."""

    adversarial: ClassVar[bool] = False
    stage: WNLLStage

    def loss(self, x: Images, y: Labels, moment: Moment) -> tuple[Tensor, Outputs]:
        """Take the loss; see `defenses.training.objective.Objective`."""
        return self.stage.clean_loss(x, y, moment.rng)

    def survives(self, x: Images, y: Labels, rng: Randomness) -> None:
        """Know of no attack."""
        del x, y, rng


def surrogate_loss(surrogate: Outputs, u: Outputs, y: Labels, kind: str) -> Tensor:
    """Return the mean of -log u_y with the gradient of Eq. 13.

    Args:
        surrogate: has the value u and hands its gradient to the logits unchanged.
        u: the WNLL output (B, K).
        y: labels (B,).
        kind: `logits` or `simplex`; see `WNLLOptions`.
    """
    if kind == "simplex":
        return cross_entropy(surrogate, y, OutputKind.SIMPLEX).mean()
    value = cross_entropy(u.detach(), y, OutputKind.SIMPLEX)
    slope = u.detach() - nn.functional.one_hot(y, u.shape[1])
    linear = (slope * surrogate).sum(dim=1)
    return (value + linear - linear.detach()).mean()


def buffer_of(network: nn.Module) -> tuple[nn.Parameter, ...]:
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
