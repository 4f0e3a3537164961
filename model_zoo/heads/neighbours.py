"""Heads that compare an image with a template by features: a hard and a soft vote. No torch at import."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from model_zoo.heads.option_checks import check_temperature, check_template
from robench.errors import ConfigError, InputError
from robench.papers import paper
from robench.recipe import Info, identity_of

if TYPE_CHECKING:
    from torch import nn

    from model_zoo.heads.template_network import TemplateNetwork
    from robench.data.images import ImageSet
    from robench.model.interface import Model


class TemplateRecipe:
    """Base of recipes whose head compares each image with one template by features.

    The options are fields of the derived dataclass, which chooses their order.
    """

    __slots__ = ()
    name: ClassVar[str]
    """Name of the head in the model's details."""
    template: int | None
    balanced: bool
    tau: float

    @property
    @abstractmethod
    def reach(self) -> int:
        """Number of neighbours on which an answer mostly depends; at most the size of the template."""

    @abstractmethod
    def network(self) -> Callable[..., TemplateNetwork]:
        """Return the function that makes its network, with the head's own options set."""

    def check(self, training_data: Callable[[], ImageSet], *, classes: int, seed: int) -> None:
        """Refuse training data from which no template can be drawn.

        Raises:
            InputError: as `__call__`.
        """
        self._draw(training_data(), classes=classes, seed=seed)

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
        """Return the model, whose rows (B, K) are the outputs of its network; see `heads.Head`.

        Raises:
            ConfigError: the network's answers are random.
            InputError: the template is too small, misses a class, or is not from the training split.
        """
        from model_zoo.heads.template_network import template_neighbourhood, template_sources
        from model_zoo.last_layer import branched
        from robench.model.interface import Model

        del output
        template = self._draw(training_data(), classes=classes, seed=seed)
        branches = branched(fixed_network(network, device), template.batch(slice(0, 3))[0].to(device))
        net = self.network()(branches, template, classes=classes, device=device, reach=self.reach)
        facts = {"template": len(template), "template_sha256": [template.digest()], **net.facts()}
        return Model(
            name=name,
            net=net,
            classes=net.classes,
            output=net.output,
            sources=template_sources(net, tau=self.tau),
            details={**details, "head": self.name, **identity_of(self), **facts},
            neighbourhood=template_neighbourhood(net, template),
            template=True,
        )

    def _draw(self, data: ImageSet, *, classes: int, seed: int) -> ImageSet:
        """Return the template."""
        from model_zoo.heads.templates import draw_templates

        (template,) = draw_templates(
            data, self.template, votes=1, balanced=self.balanced, classes=classes, seed=seed
        )
        if len(template) < self.reach:
            do = "Give the template more training images"
            expected = f"a template of at least {self.reach} images"
            raise InputError(where="template", expected=expected, got=f"{len(template)}", do=do)
        return template


@dataclass(frozen=True, slots=True, kw_only=True)
class KNN(TemplateRecipe):
    """The class that most of the k nearest template images have, by distance of features.

    In a tie the class of the nearest image wins. The vote is piecewise constant: its gradient is zero.

    Attributes:
        k: how many images vote; 1 to 100, at most the size of the template.
        template: training images in the template; None takes all of them.
        balanced: draw as many of every class as of any other; otherwise purely at random.
        tau: temperature of the gradient source `kernel`.
    """

    info: ClassVar[Info] = Info(
        title="k nearest neighbours",
        paper="Cover & Hart 1967; on features: Papernot & McDaniel 2018, arXiv:1803.04765",
        bibtex=paper("cover1967nearest", "papernot2018deep"),
    )
    name: ClassVar[str] = "knn"
    offers: ClassVar[tuple[str, ...]] = ("straight_through", "linear", "kernel")
    k: int = 5
    template: int | None = 500
    balanced: bool = True
    tau: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers with which voting is impossible."""
        if not 1 <= self.k <= 100:
            raise ConfigError(expected="k from 1 to 100", got=str(self.k))
        check_template(self.template, self.k, "k")
        check_temperature(self.tau)

    @property
    def reach(self) -> int:
        """How many images vote."""
        return self.k

    def network(self) -> Callable[..., TemplateNetwork]:
        """Return the function that makes its network, whose outputs are votes (B, K) on the simplex."""
        from model_zoo.heads.template_network import KNNNetwork

        return KNNNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDensity(TemplateRecipe):
    """The class of the largest kernel density at an image's features: a soft vote of the whole template.

    Scores are log sum of exp(-d^2 / h^2) over the template images of a class, scaled to log probabilities.

    Attributes:
        bandwidth: h, in units of the features; None: h^2 is the median squared distance of template images to
            their n-th neighbour among them.
        n: that neighbour, the image itself counted first; 2 to the size of the template.
        template: training images in the template; None takes all of them.
        balanced: draw as many of every class as of any other; otherwise purely at random.
        tau: temperature of the gradient source `kernel`, whose scale is each image's own.
    """

    info: ClassVar[Info] = Info(
        title="kernel density", paper="Nadaraya 1964; Parzen 1962", bibtex=paper("nadaraya1964estimating")
    )
    name: ClassVar[str] = "kernel_density"
    offers: ClassVar[tuple[str, ...]] = ("linear", "exact", "kernel")
    bandwidth: float | None = None
    n: int = 8
    template: int | None = 500
    balanced: bool = True
    tau: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers with which no density can be computed."""
        if self.bandwidth is not None and not 1e-6 <= self.bandwidth <= 1e6:
            raise ConfigError(expected="a bandwidth from 1e-6 to 1e6", got=str(self.bandwidth))
        if self.n < 2:
            raise ConfigError(expected="n of at least 2 (an image is its own first)", got=str(self.n))
        check_template(self.template, self.n, "n")
        check_temperature(self.tau)

    @property
    def reach(self) -> int:
        """The neighbour whose distance decides the width of the kernel."""
        return self.n

    def network(self) -> Callable[..., TemplateNetwork]:
        """Return the function that makes its network, whose outputs are log probabilities (B, K)."""
        from functools import partial

        from model_zoo.heads.template_network import KernelDensityNetwork

        return partial(KernelDensityNetwork, bandwidth=self.bandwidth)


def fixed_network(network: nn.Module, device: str) -> nn.Module:
    """Return the network on its device.

    Raises:
        ConfigError: its answers are random.
    """
    from model_zoo.heads.expectation import randomness_in

    if randomness := randomness_in(network):
        expected, do = "a network that answers the same each time", "Use the head linear or wnll"
        raise ConfigError(where="head", expected=expected, got=str(randomness), do=do)
    return network.to(device)
