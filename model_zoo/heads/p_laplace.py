"""The game-theoretic p-Laplacian (Calder 2018, arXiv:1711.10144) as a head. No torch at import."""

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
class PLaplace(ScaledGraphHead):
    """Classifies an image by the game-theoretic p-Laplacian, one equation for each class.

    `u_q = a mean_S(u) + (1 - a) (max u + min u) / 2` over the neighbours of every query, `a = 1 / (p - 1)`; S
    as in `laplace`, which is the case p = 2. The values of the classes are divided by their sum.

    Attributes:
        protocol: `joint`, the batch shares one graph with the template. `independent` is refused: an image
            alone with the template gets the class that `laplace` gives it.
        m: neighbours each point keeps, itself counted first; at most the size of the template.
        n: the neighbour whose distance is a point's scale sigma, itself counted first; 2 to m.
        p: at least 2, and finite.
        template: training images in the template; None takes all of them.
        balanced: draw equally many images of each class; otherwise purely at random.
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `auto` or `cholesky`: the systems of the game are solved directly.
        tau: temperature of the gradient source `kernel`.
        unlabelled: training images without a label that join every joint graph.
    """

    info: ClassVar[Info] = Info(
        title="p-Laplace learning",
        paper="Calder 2018, arXiv:1711.10144 (the game-theoretic p-Laplacian)",
        bibtex=paper("calder2018game"),
    )
    name: ClassVar[str] = "p_laplace"
    same_alone: ClassVar[str] = "laplace"
    protocol: Literal["independent", "joint"] = "joint"
    p: float = 10.0

    def __post_init__(self) -> None:
        """Refuse options with which no graph can be built."""
        ScaledGraphHead.__post_init__(self)
        if not 2 <= self.p < float("inf"):
            raise ConfigError(expected="p of at least 2, and finite", got=str(self.p))
        if self.solver == "cg":
            raise ConfigError(
                expected="solver `auto` or `cholesky`: the systems are not symmetric", got="'cg'"
            )

    def network(self) -> Callable[..., GraphNetwork]:
        """Return the function that makes its network, with the head's own options set."""
        from functools import partial

        from model_zoo.heads.laplacian_networks import PLaplaceNetwork

        return partial(PLaplaceNetwork, p=self.p)
