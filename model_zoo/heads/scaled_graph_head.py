"""What the heads have in common in whose graph every point has a scale of its own. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_zoo.heads.graph_head import GraphHead
from model_zoo.heads.option_checks import check_scale

if TYPE_CHECKING:
    from model_zoo.graph.settings import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledGraphHead(GraphHead):
    """A graph head with weights `W_ij = exp(-d_ij^2 / sigma_i^2)` and no template term.

    Attributes:
        n: the neighbour whose distance is a point's scale sigma, itself counted first; 2 to m.
    """

    n: int = 15

    def __post_init__(self) -> None:
        """Refuse options no graph can be built with."""
        GraphHead.__post_init__(self)
        check_scale(self.n, self.m)

    def graph(self) -> Graph:
        """Return the settings of its graph."""
        from model_zoo.graph.settings import Graph

        return Graph(m=self.m, n=self.n, mu="none", search=self.search, solver=self.solver)
