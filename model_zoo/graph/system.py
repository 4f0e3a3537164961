"""Eq. 5 as the linear system `A u = B` over the query points, as edges; and queries without a label.

Points are numbered queries first, `0 .. Q-1`, then the template, `Q .. N-1`. Column 0 of a neighbour list is
the point itself, whose weight cancels in Eq. 5 and is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from robench.types import EdgeMask, EdgeValues, NeighbourLists, PointLabels, RowNumbers

# A point whose paths to the template are all weaker than this, relative to its degree, counts as without a
# path: in double precision such an A cannot be distinguished from a singular one.
NEGLIGIBLE = 1e-12


class System(NamedTuple):
    """`A u = B`.

    Attributes:
        row: `(E,)` query of each off-diagonal entry; an entry may come in several parts, which add up.
        col: `(E,)` the other query.
        value: `(E,)` its part of `S = W + W^T`; A holds it negated.
        degree: `(Q,)` the diagonal of A.
        mass: `(Q, C)` B, the weight between each query and each class of the template.
        singular: `(Q,)` bool, queries with no path to the template; their rows of A and B say u = 1/C.
    """

    row: Tensor
    col: Tensor
    value: Tensor
    degree: Tensor
    mass: Tensor
    singular: Tensor

    def double(self) -> System:
        """Return the same system in float64, with sums taken in float64."""
        value, mass = self.value.double(), self.mass.double()
        return _finish(self.row, self.col, value, mass, self.singular)


def build(index: NeighbourLists, weight: EdgeValues, labels: PointLabels, classes: int, mu: float) -> System:
    """Return the system of a graph with neighbour lists `index (N, m)` and weights `weight (N, m)`.

    `A = diag(deg) - S_QQ` and `B = (S_QT + mu W_TQ^T) G = (W_QT + (1 + mu) W_TQ^T) G`.
    """
    queries = len(index) - len(labels)
    index, weight = index[:, 1:], weight[:, 1:]
    near, near_weight = index[:queries], weight[:queries]
    to_query = near < queries
    # W_QT G: template neighbours of queries, by class; column C collects what is not template
    target = labels[(near - queries).clamp_min(0)].masked_fill(to_query, classes)
    mass = weight.new_zeros(queries, classes + 1).scatter_add_(1, target, near_weight)[:, :classes]
    # W_TQ^T G: queries among the neighbours of template points
    t, k = (index[queries:] < queries).nonzero(as_tuple=True)
    flat = index[queries:][t, k] * classes + labels[t]
    back = weight.new_zeros(queries * classes).index_add_(0, flat, weight[queries:][t, k])
    mass = mass + (1 + mu) * back.view(queries, classes)
    row, col, value = symmetrised(near, near_weight, to_query)
    return _finish(row, col, value, mass, _unreachable(row, col, value, mass))


def symmetrised(
    index: NeighbourLists, weight: EdgeValues, kept: EdgeMask
) -> tuple[RowNumbers, RowNumbers, Float[Tensor, " n"]]:
    """Return entries `(row, col, value)` of `S = W + W^T` from the `kept (R, m)` edges of neighbour lists.

    Every edge comes once in each direction; entries that come in several parts add up.
    """
    i, k = kept.nonzero(as_tuple=True)
    j, value = index[i, k], weight[i, k]
    return torch.cat([i, j]), torch.cat([j, i]), torch.cat([value, value])


def _finish(row: Tensor, col: Tensor, value: Tensor, mass: Tensor, singular: Tensor) -> System:
    """Cut singular queries off, give them uniform equations, and sum the diagonal."""
    value = value.masked_fill(singular[row] | singular[col], 0.0)
    mass = torch.where(singular[:, None], 1.0 / mass.shape[1], mass)
    return System(row, col, value, mass.sum(1).index_add(0, row, value), mass, singular)


def _unreachable(row: Tensor, col: Tensor, value: Tensor, mass: Tensor) -> Tensor:
    """Return which queries no path of edges joins to the template: breadth-first from those that touch it."""
    direct = mass.sum(1)
    degree = direct.index_add(0, row, value)
    is_near = direct > NEGLIGIBLE * degree
    count = int(is_near.sum())
    if count == len(is_near):
        return ~is_near
    strong = value > NEGLIGIBLE * degree[row]
    row, col = row[strong], col[strong]
    while True:
        is_near = is_near.index_fill(0, row[is_near[col]], True)
        previous, count = count, int(is_near.sum())
        if count == previous:
            return ~is_near
