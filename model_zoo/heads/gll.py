"""The graph learning layer (Brown et al. 2024, arXiv:2412.08016) as a head. No torch at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from model_zoo.heads.graph_head import GraphHead
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    from model_zoo.graph.settings import Graph
    from model_zoo.heads.graph_network import GraphNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class GLL(GraphHead):
    """Classifies an image by Laplace's equation on a graph with symmetric, self-tuning weights.

    `S_ij = exp(-4 d_ij^2 / (eps_i eps_j))` if one of i and j is among the m nearest of the other; eps is the
    distance to the m-th. The gradient source `exact` is the layer's adjoint, through weights and eps.

    Attributes:
        protocol: `independent`, each image alone with the template; `joint`, the batch shares one graph with
            the template (the paper's).
        m: neighbours each point keeps, itself counted first, as in the authors' code (k = 25); at most the
            size of the template.
        template: training images in the template; None takes all of them.
        balanced: draw equally many images of each class; otherwise purely at random.
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `cholesky`, `cg` or `auto`; only the joint protocol solves anything.
        tau: temperature of the gradient source `kernel`.
        unlabelled: training images without a label that join every joint graph.
    """

    info: ClassVar[Info] = Info(
        title="Graph learning layer",
        paper="Brown, Chen, Hardiman-Mostow, Calder & Bertozzi 2024, arXiv:2412.08016",
        bibtex=paper("brown2024gll"),
    )
    name: ClassVar[str] = "gll"
    m: int = 25

    def graph(self) -> Graph:
        """Return the settings of its graph."""
        from model_zoo.graph.settings import Graph

        return Graph(m=self.m, n=self.m, mu="none", search=self.search, solver=self.solver)

    def network(self) -> Callable[..., GraphNetwork]:
        """Return the function that makes its network."""
        from model_zoo.heads.laplacian_networks import SelfTuningNetwork

        return SelfTuningNetwork
