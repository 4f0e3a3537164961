"""The graph-interpolating head (Wang & Osher 2019, arXiv:1907.06800) as a recipe. No torch at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from model_zoo.heads.graph_head import GraphRecipe
from model_zoo.heads.option_checks import check_scale
from robench.errors import ConfigError
from robench.papers import paper
from robench.plan.spec import LATER
from robench.recipe import Info

if TYPE_CHECKING:
    from model_zoo.graph.settings import Graph
    from model_zoo.heads.graph_network import GraphNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLL(GraphRecipe):
    """Classifies an image by interpolating the labels of template images on a graph over features.

    Attributes:
        protocol: `independent`, each image alone with the template; `joint`, the batch shares one graph with
            the template (the paper's); `voting`, each image alone with several disjoint templates.
        m: neighbours each point keeps, itself counted first; at most the size of the template.
        n: the neighbour whose distance is a point's scale, itself counted first; 2 to m.
        template: training images per template; None divides all of them among the templates.
        balanced: draw equally many images of each class; otherwise purely at random.
        votes: number of templates of the protocol `voting`.
        rule: how votes are combined, `majority` (the mean decides ties) or `mean`.
        kernel: `gaussian` (the paper's text) or `published` (the authors' code).
        mu: weight of the template term, `paper` (N/T - 1) or `published` (N/T).
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `cholesky`, `cg` or `auto`; only the joint protocol solves anything.
        tau: temperature of the gradient source `kernel`.
        unlabelled: training images without a label that join every joint graph: their rows of Eq. 5 are
            computed and discarded (Wang & Osher 2019, section 3.3, approach I).
    """

    info: ClassVar[Info] = Info(
        title="WNLL",
        paper="Wang & Osher 2019, arXiv:1907.06800; Shi, Osher & Zhu 2018",
        bibtex=paper("wang2019graph", "shi2017weighted"),
    )
    name: ClassVar[str] = "wnll"
    protocols: ClassVar[tuple[str, ...]] = ("independent", "joint", "voting")
    protocol: Literal["independent", "joint", "voting"] = "independent"
    m: int = 30
    n: int = 15
    template: int | None = 500
    balanced: bool = True
    votes: int = 3
    rule: Literal["majority", "mean"] = "majority"
    kernel: Literal["gaussian", "published"] = "gaussian"
    mu: Literal["paper", "published"] = "paper"
    search: Literal["auto", "torch", "faiss"] = "auto"
    solver: Literal["auto", "cholesky", "cg"] = "auto"
    tau: float = 1.0
    unlabelled: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse numbers with which no graph can be built."""
        check_scale(self.n, self.m)
        self.check_options()
        if self.votes < 1:
            raise ConfigError(expected="votes of at least 1", got=str(self.votes))

    @property
    def templates(self) -> int:
        """Number of templates that are drawn."""
        return self.votes if self.protocol == "voting" else 1

    def graph(self) -> Graph:
        """Return the settings of its graph."""
        from model_zoo.graph.settings import Graph

        return Graph(
            m=self.m, n=self.n, kernel=self.kernel, mu=self.mu, search=self.search, solver=self.solver
        )

    def network(self) -> Callable[..., GraphNetwork]:
        """Return the function that makes its network, whose outputs are simplex points u (B, K)."""
        from functools import partial

        from model_zoo.heads.wnll_network import WNLLNetwork

        return partial(WNLLNetwork, rule=self.rule)
