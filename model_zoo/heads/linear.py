"""The ordinary head: the network's own outputs. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from robench.errors import ConfigError
from robench.plan.spec import LATER
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """The linear layer at the end of a network; softmax is part of the loss.

    Attributes:
        draws: number of draws in the mean of the gradient source `expectation`, for a network with random
            answers (Athalye et al. 2018, arXiv:1802.00420); other networks have no such source.
    """

    info: ClassVar[Info] = Info(title="linear", paper="none")
    offers: ClassVar[tuple[str, ...]] = ("expectation", "exact")
    draws: int = field(default=10, metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse a mean over less than one draw."""
        if self.draws < 1:
            raise ConfigError(expected="draws of at least 1", got=str(self.draws))

    def __call__(
        self,
        network: nn.Module,
        *,
        name: str,
        classes: int,
        training_data: Callable[[], ImageSet],
        seed: int,
        device: str,
        details: Mapping[str, Any],
        output: str = "logits",
    ) -> Model:
        """Return the network as a model that offers the gradient source `exact`; see `heads.Head`.

        A random network offers `expectation` before it.

        Raises:
            ConfigError: the network has no linear branch, or `output` is not the name of an output kind.
        """
        from model_zoo.heads.expectation import NAME, expectation, randomness_in
        from model_zoo.last_layer import penultimate
        from model_zoo.network import Network
        from robench.model.interface import Model, OutputKind
        from robench.model.tested_network import TestedNetwork

        del training_data, seed
        if isinstance(network, Network) and network.linear is None:
            raise ConfigError(
                where=f"model {name!r}",
                expected="a trained linear branch",
                got="features without one",
                do="Train the model, load a checkpoint, or choose the head `wnll`",
            )
        if output not in list(OutputKind):
            kinds = ", ".join(OutputKind)
            raise ConfigError(where=f"model {name!r}", expected=f"output as one of {kinds}", got=repr(output))
        net = network if isinstance(network, TestedNetwork) else TestedNetwork(network, kind=output)
        model = Model(
            name=name,
            net=net.to(device),
            classes=classes,
            output=OutputKind(output),
            details={**details, "head": "linear"},
            features=penultimate(net.module),
        )
        randomness = randomness_in(network)
        if not randomness:
            return model
        mean_source = expectation(model.net, model.source("exact"), count=self.draws)
        return replace(
            model,
            sources={NAME: mean_source, **model.sources},
            random=True,
            details={**model.details, "chance": randomness, "draws": self.draws},
        )
