"""Poisson learning (Calder et al. 2020, arXiv:2006.11184) as a head. No torch at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from model_zoo.heads.graph_head import ScaledGraphHead
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    from model_zoo.heads.graph_network import GraphNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisson(ScaledGraphHead):
    """Classifies an image by the Poisson equation; labels are sources and sinks on the graph.

    `L u = sum_t delta_t (G_t - mean(G))` with `sum_i d_i u_i = 0`: made for very few labels, with which
    Laplace learning predicts nearly always one class. Rows are scores that sum to 0, not points of the
    simplex. In the protocol `independent` every image costs one factorisation of the template's graph.

    Attributes:
        protocol: `independent`, each image alone with the template; `joint`, the batch shares one graph with
            the template.
        m: neighbours each point keeps, itself counted first; at most the size of the template.
        n: the neighbour whose distance is a point's scale sigma, itself counted first; 2 to m.
        template: training images in the template; None takes all of them.
        balanced: draw equally many images of each class; otherwise purely at random.
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `cholesky`, `cg` or `auto` (Cholesky up to 2,048 points).
        tau: temperature of the gradient source `kernel`.
        unlabelled: training images without a label that join every joint graph.
    """

    info: ClassVar[Info] = Info(
        title="Poisson learning",
        paper="Calder, Cook, Thorpe & Slepcev 2020, arXiv:2006.11184",
        bibtex=paper("calder2020poisson"),
    )
    name: ClassVar[str] = "poisson"
    logits: ClassVar[bool] = True

    def network(self) -> Callable[..., GraphNetwork]:
        """Return the function that makes its network."""
        from model_zoo.heads.laplacian_networks import PoissonNetwork

        return PoissonNetwork
