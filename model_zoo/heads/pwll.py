"""The properly weighted Laplacian (Calder & Slepcev 2019, arXiv:1810.04351) as a head. No torch at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from model_zoo.heads.graph_head import ScaledGraphHead
from robench.errors import ConfigError
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    from model_zoo.heads.graph_network import GraphNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class PWLL(ScaledGraphHead):
    """Classifies an image by Laplace's equation with weights that grow towards the template.

    `sum_j (gamma_q + gamma_j) S_qj (u_q - u_j) = 0` at every query, `gamma(z) = 1 + (r / dist)^alpha`; dist
    is the distance to the nearest template image, and gamma is at most zeta; S as in `laplace`.

    Attributes:
        protocol: `joint`, the batch shares one graph with the template. `independent` is refused: an image
            alone with the template has weights with one common factor, and is `laplace`.
        m: neighbours each point keeps, itself counted first; at most the size of the template.
        n: the neighbour whose distance is a point's scale sigma, itself counted first; 2 to m.
        radius: r, in units of the median distance of template images to their n-th neighbour.
        alpha: how fast weights grow towards the template.
        zeta: their largest value.
        template: training images in the template; None takes all of them.
        balanced: draw equally many images of each class; otherwise purely at random.
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `cholesky`, `cg` or `auto`.
        tau: temperature of the gradient source `kernel`.
        unlabelled: training images without a label that join every joint graph.
    """

    info: ClassVar[Info] = Info(
        title="Properly weighted Laplacian",
        paper="Calder & Slepcev 2019, arXiv:1810.04351",
        bibtex=paper("calder2020properly"),
    )
    name: ClassVar[str] = "pwll"
    same_alone: ClassVar[str] = "laplace"
    protocol: Literal["independent", "joint"] = "joint"
    radius: float = 1.0
    alpha: float = 2.0
    zeta: float = 1e7

    def __post_init__(self) -> None:
        """Refuse options with which no graph can be built."""
        ScaledGraphHead.__post_init__(self)
        for name, least in (("radius", 0.0), ("alpha", 0.0), ("zeta", 1.0)):
            value = getattr(self, name)
            if not least < value < float("inf"):
                raise ConfigError(expected=f"{name} above {least:g}, and finite", got=str(value))

    def network(self) -> Callable[..., GraphNetwork]:
        """Return the function that makes its network, with the head's own options set."""
        from functools import partial

        from model_zoo.heads.laplacian_networks import ProperlyWeightedNetwork

        return partial(ProperlyWeightedNetwork, radius=self.radius, alpha=self.alpha, zeta=self.zeta)
