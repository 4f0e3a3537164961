"""The WNLL stage: labels interpolated on a graph, and a gradient for the buffer layer (paper Eq. 13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from robench import plugins
from robench.data import ImageSet
from robench.defense import TrainingContext
from robench.errors import ConfigError
from robench.losses import cross_entropy
from robench.model import Model, OutputKind
from robench.randomness import Randomness, seed_from
from robench.recipe import build
from robench.types import Images, Labels, Outputs


@dataclass(slots=True)
class WNLLStage:
    """Puts the head `wnll` on the network as it is now; its templates come from one half of the data.

    The head computes a template's features once, so it is made anew whenever weights may have changed.

    Attributes:
        network: features, buffer and linear branch.
        template: the template half, on the CPU.
        options: those of the stage.
        context: seed and device.
        judged: the model that classifies the held-out part, as `judge` made it last.
    """

    network: nn.Module
    template: ImageSet
    options: Any
    context: TrainingContext
    judged: Model | None = field(default=None, init=False)

    def model(self, seed: int, *, protocol: str) -> Model:
        """Return the network under the head, with a template drawn by the seed."""
        options = self.options
        chosen = {
            "protocol": protocol,
            "m": options.m,
            "n": options.n,
            "template": min(options.template, len(self.template)),
        }
        head = build(plugins.find("heads", "wnll"), chosen, where="WNLL stage")
        made: Model = head(
            self.network,
            name="in training",
            classes=len(self.template.classes),
            training_data=lambda: self.template,
            seed=seed,
            device=self.context.device,
            details={},
        )
        return made

    def training_model(self, rng: Randomness) -> Model:
        """Return the joint model of one step: batch and template share a graph (Algorithm 1, line 11)."""
        return self.model(seed_from(rng.torch_seed(), "template"), protocol="joint")

    def judge(self) -> nn.Module:
        """Return what classifies the held-out part: each image alone with one fixed template.

        The independent protocol, because only the correctly classified images of a batch are attacked, and
        in a joint graph leaving some out would change the others' predictions.
        """
        self.judged = self.model(seed_from(self.context.seed, "judge"), protocol="independent")
        return self.judged.net

    def loss(self, model: Model, x: Images, y: Labels) -> tuple[Tensor, Outputs]:
        """Return the loss at the WNLL output, whose gradient goes through the linear branch, and u (B, K)."""
        surrogate, u = model.source("straight_through").surrogate(x)
        return surrogate_loss(surrogate, u, y, self.options.surrogate), u


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
