"""Base class of the recipes of the graph heads. No torch at import."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from model_zoo.heads.option_checks import check_scale, check_temperature, check_template
from robench.errors import ConfigError
from robench.recipe import Info, identity_of

if TYPE_CHECKING:
    from torch import nn

    from model_zoo.graph.settings import Graph
    from model_zoo.heads.graph_network import GraphNetwork
    from model_zoo.heads.templates import GraphImages
    from robench.data.images import ImageSet
    from robench.model.interface import Model


class GraphRecipe:
    """Base of recipes whose head spreads the labels of template images over a graph of features.

    The options are fields of the derived dataclass, which chooses their order.
    """

    __slots__ = ()
    info: ClassVar[Info]
    name: ClassVar[str]
    """Name of the head in the model's details."""
    logits: ClassVar[bool] = False
    """Whether its rows are scores instead of points of the simplex."""
    same_alone: ClassVar[str] = ""
    """Name of the simpler head with the same result for a single image; empty if there is none."""
    protocols: ClassVar[tuple[str, ...]] = ("independent", "joint")
    offers: ClassVar[tuple[str, ...]] = ("expectation", "straight_through", "linear", "exact", "kernel")
    protocol: str
    m: int
    template: int | None
    balanced: bool
    tau: float
    unlabelled: int

    @property
    def templates(self) -> int:
        """Number of templates that are drawn."""
        return 1

    def check_options(self) -> None:
        """Refuse options with which no graph can be built.

        Raises:
            ConfigError: names the option.
        """
        if self.protocol not in self.protocols:
            *others, last = map(repr, self.protocols)
            raise ConfigError(expected=f"protocol {', '.join(others)} or {last}", got=repr(self.protocol))
        if self.same_alone and self.protocol == "independent":
            raise ConfigError(
                expected="protocol 'joint': an image alone with the template is classified as by "
                f"`{self.same_alone}`",
                got=repr(self.protocol),
                do=f"Set `protocol: joint`, or use the head `{self.same_alone}`",
            )
        if self.template is not None and self.template < 1:
            raise ConfigError(expected="a template of at least one image", got=str(self.template))
        check_template(self.template, self.m, "m")
        check_temperature(self.tau)
        if self.unlabelled < 0:
            raise ConfigError(expected="unlabelled of at least 0", got=str(self.unlabelled))
        if self.unlabelled and self.protocol != "joint":
            expected = "protocol 'joint' with `unlabelled`: an image alone with the template meets no others"
            raise ConfigError(expected=expected, got=repr(self.protocol), do="Set `protocol: joint`")

    @abstractmethod
    def graph(self) -> Graph:
        """Return the settings of its graph."""

    @abstractmethod
    def network(self) -> Callable[..., GraphNetwork]:
        """Return the function that makes its network, with the head's own options set."""

    def check(self, training_data: Callable[[], ImageSet], *, classes: int, seed: int) -> None:
        """Refuse training data from which no graph can be built, by making the same draws as `__call__`.

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
        """Return the model over the network's features; see `heads.Head`.

        The template images stay clean; their features are computed once. A foreign network is split at its
        last linear layer, without being changed. `output` is not used: a network whose outputs are not those
        of its last linear layer is refused.

        Raises:
            InputError: the template is too small for m, misses a class, or is not from the training split;
                or the network does not end in a linear layer.
        """
        from functools import partial

        from model_zoo.heads.graph_model import graph_model
        from robench.model.interface import OutputKind

        del output
        images = self._draw(training_data(), classes=classes, seed=seed)
        return graph_model(
            partial(
                self.network(),
                templates=images.templates,
                classes=classes,
                graph=self.graph(),
                joint=self.protocol == "joint",
                device=device,
                unlabelled=images.unlabelled,
            ),
            network,
            images,
            name=name,
            output=OutputKind.LOGITS if self.logits else OutputKind.SIMPLEX,
            tau=self.tau,
            device=device,
            details={**details, "head": self.name, **identity_of(self)},
        )

    def _draw(self, training_data: ImageSet, *, classes: int, seed: int) -> GraphImages:
        """Return the templates, and the unlabelled images if any are wanted."""
        from model_zoo.heads.templates import draw_graph_images

        return draw_graph_images(
            training_data,
            self.template,
            votes=self.templates,
            balanced=self.balanced,
            unlabelled=self.unlabelled,
            m=self.m,
            classes=classes,
            seed=seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphHead(GraphRecipe):
    """Classifies an image by extending the labels of template images over a graph of features.

    Attributes:
        protocol: `independent`, each image alone with the template; `joint`, the batch shares one graph with
            the template.
        m: neighbours each point keeps, itself counted first; at most the size of the template.
        template: training images in the template; None takes all of them.
        balanced: draw equally many images of each class; otherwise purely at random.
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `cholesky`, `cg` or `auto`.
        tau: temperature of the gradient source `kernel`.
        unlabelled: training images without a label that join every joint graph.
    """

    protocol: Literal["independent", "joint"] = "independent"
    m: int = 30
    template: int | None = 500
    balanced: bool = True
    search: Literal["auto", "torch", "faiss"] = "auto"
    solver: Literal["auto", "cholesky", "cg"] = "auto"
    tau: float = 1.0
    unlabelled: int = 0

    def __post_init__(self) -> None:
        """Refuse options with which no graph can be built."""
        if self.m < 2:
            raise ConfigError(
                expected="m of at least 2 (a point is its own first neighbour)", got=str(self.m)
            )
        self.check_options()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledGraphHead(GraphHead):
    """A graph head with weights `W_ij = exp(-d_ij^2 / sigma_i^2)` and no template term.

    Attributes:
        n: the neighbour whose distance is a point's scale sigma, itself counted first; 2 to m.
    """

    n: int = 15

    def __post_init__(self) -> None:
        """Refuse options with which no graph can be built."""
        GraphHead.__post_init__(self)
        check_scale(self.n, self.m)

    def graph(self) -> Graph:
        """Return the settings of its graph."""
        from model_zoo.graph.settings import Graph

        return Graph(m=self.m, n=self.n, mu="none", search=self.search, solver=self.solver)
