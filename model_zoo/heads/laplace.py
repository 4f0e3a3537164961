"""Laplace learning (Zhu, Ghahramani & Lafferty 2003) as a head. No torch at import."""

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
class Laplace(ScaledGraphHead):
    """Classifies an image by the harmonic extension of template labels: WNLL without its template term.

    `sum_j S_qj (u_q - u_j) = 0` at every query, with u one-hot on the template, `S = W + W^T` and
    `W_ij = exp(-d_ij^2 / sigma_i^2)`.

    Attributes:
        protocol: `independent`, each image alone with the template; `joint`, the batch shares one graph with
            the template.
        m: neighbours each point keeps, itself counted first; at most the size of the template.
        n: the neighbour whose distance is a point's scale sigma, itself counted first; 2 to m.
        template: training images in the template; None takes all of them.
        balanced: draw equally many images of each class; otherwise purely at random.
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `cholesky`, `cg` or `auto`; only the joint protocol solves anything.
        tau: temperature of the gradient source `kernel`.
        unlabelled: training images without a label that join every joint graph.
    """

    info: ClassVar[Info] = Info(
        title="Laplace learning",
        paper="Zhu, Ghahramani & Lafferty 2003 (ICML)",
        bibtex=paper("zhu2003semi"),
    )
    name: ClassVar[str] = "laplace"

    def network(self) -> Callable[..., GraphNetwork]:
        """Return the function that makes its network."""
        from model_zoo.heads.wnll_network import WNLLNetwork

        return WNLLNetwork
