"""Poisson learning (Calder, Cook, Thorpe & Slepcev 2020, arXiv:2006.11184, Eq. 2.3).

Labels are sources, not boundary values: `L u = f` with `L = D - S`, `f_t = G_t - mean(G)` on the template
and 0 on the queries, and `sum_i d_i u_i = 0`. All N points are unknown. L is singular on constants, so we
solve `M u = f` with `M = L + sum_K d_K d_K^T / vol(K)`, K the connected components and d_K the degrees in
K: positive definite, with the same solution where the graph is connected. In a component that has more
sources than sinks of a class, where the Poisson equation has no solution, M gives the component that excess
per volume in addition.

Gradient, with `M lambda = dL/du`: `dL/dM = -lambda u^T`, and so for the edge i -> j of the lists
`dL/dW_ij = (lambda_i - lambda_j) . (u_j - u_i) + e_i + e_j`, e being the part through the degrees in M,
`e_i = -(lambda_i . (d u)_K + (d lambda)_K . u_i) / vol + (d lambda)_K . (d u)_K / vol^2`, where
`(d u)_K = sum_(i in K) d_i u_i`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model_zoo.graph.gradient import cross_distances, edge_gradient
from model_zoo.graph.independent import PreparedTemplate
from model_zoo.graph.interpolation import Interpolation, check_pair, joint_lists
from model_zoo.graph.neighbours import nearest_neighbours, neighbours_in, working_precision
from model_zoo.graph.settings import Graph
from model_zoo.graph.solvers import Solve, conjugate_gradients
from model_zoo.graph.system import NEGLIGIBLE, System, symmetrised
from model_zoo.graph.weights import edge_weights, sigma_squared
from robench.types import (
    ClassValues,
    EdgeValues,
    Features,
    Mask,
    NeighbourLists,
    Outputs,
    PointLabels,
    Points,
    PointValues,
)

_DENSE_LIMIT = 2048  # points of one graph; above, conjugate gradients cost less than a factorisation
_MATRIX_ELEMENTS = 2**23  # of the dense matrices of one block of graphs


def poisson(
    query: Features, template: Points, labels: PointLabels, *, classes: int, graph: Graph
) -> Interpolation:
    """Solve the Poisson equation in one joint graph; arguments as `interpolate`.

    Rows of u are scores that sum to 0, not points of the simplex; a query in a component without template
    points is singular, and its row is 0. Differentiable once in the query and template features, neighbour
    sets held fixed; `graph.mu` is not used.
    """
    lists = joint_lists(query, template, labels, classes=classes, graph=graph)
    with torch.autocast(query.device.type, enabled=False):
        weight = edge_weights(lists.distance2, sigma_squared(lists.distance2, graph.n)[:, None], graph.kernel)
        return potential(weight, lists.ids, sources(lists.labels, classes, weight.dtype), 1, graph.solver)


def poisson_independent(query: Features, prepared: PreparedTemplate) -> Interpolation:
    """Solve the Poisson equation for each row of `query (Q, D)` in a graph with the template alone."""
    check_pair(query, prepared.features)
    graph, template = prepared.graph, prepared.features
    query = working_precision(query).to(template.dtype)
    source = sources(prepared.labels, prepared.classes, template.dtype)
    near = nearest_neighbours(template, graph.m, search=graph.search)
    size = max(1, _MATRIX_ELEMENTS // (len(template) + 1) ** 2)
    parts = []
    with torch.autocast(query.device.type, enabled=False):
        for start in range(0, len(query), size):
            some = query[start : start + size]
            ids, distance2 = _joined(some, template, near.ids, near.distance2, graph)
            weight = edge_weights(distance2, sigma_squared(distance2, graph.n)[:, None], graph.kernel)
            parts.append(potential(weight, ids, source.repeat(len(some), 1), len(some), graph.solver))
    if not parts:
        return Interpolation(query.new_zeros(0, prepared.classes), source.new_zeros(0, dtype=torch.bool))
    return Interpolation(torch.cat([part.u for part in parts]), torch.cat([part.singular for part in parts]))


def sources(labels: PointLabels, classes: int, dtype: torch.dtype) -> ClassValues:
    """Return `G_t - mean(G)` `(T, C)`; columns sum to 0."""
    one_hot = F.one_hot(labels, classes).to(dtype)
    return one_hot - one_hot.mean(0)


def _joined(
    query: Tensor, template: Tensor, ids: Tensor, distance2: Tensor, graph: Graph
) -> tuple[Tensor, Tensor]:
    """Return the neighbour lists of Q graphs, each the template's with one query added.

    Points are numbered queries first, then the template once per query. The lists of template points are
    `ids (T, m)` and `distance2 (T, m)` as long as no query is among them.
    """
    count, size, m = len(query), len(template), graph.m
    cross2 = cross_distances(query, template)
    near = neighbours_in(query, template, m - 1, search=graph.search).ids
    shift = count + size * torch.arange(count, device=query.device)[:, None, None]
    own_ids = torch.cat([torch.arange(count, device=query.device)[:, None], near + shift[:, 0]], dim=1)
    own2 = torch.cat([query.new_zeros(count, 1), cross2.gather(1, near)], dim=1)
    # itself, then the query, then the others: a stable sort leaves the query first in a tie
    shape = (count, size, m + 1)
    merged2 = torch.cat([distance2[:, :1].expand(count, -1, -1), cross2[..., None],
                         distance2[:, 1:].expand(count, -1, -1)], dim=2)  # fmt: skip
    both = torch.cat([ids[:, :1] + shift, torch.arange(count, device=query.device)[:, None, None].expand(
        count, size, 1), ids[:, 1:] + shift], dim=2)  # fmt: skip
    key = merged2.detach().clone()
    key[..., 0] = -1
    order = key.sort(dim=2, stable=True).indices[..., :m]
    assert both.shape == shape
    return (
        torch.cat([own_ids, both.gather(2, order).flatten(0, 1)]),
        torch.cat([own2, merged2.gather(2, order).flatten(0, 1)]),
    )


def potential(
    weight: EdgeValues, ids: NeighbourLists, source: ClassValues, graphs: int, solver: str
) -> Interpolation:
    """Solve for weights `(N, m)` of the lists of `graphs` graphs of equal size; return rows of the queries.

    Args:
        weight: weights, queries of all graphs first, then the template of the first graph, the second, ...
        ids: neighbours, itself first.
        source: f on the template points `(N - Q, C)`.
        graphs: how many there are; with more than one, each has one query.
        solver: "cholesky", "cg" or "auto".
    """
    answer = _Potential.apply(weight, ids, source, graphs, solver)
    u, singular = cast("tuple[Tensor, Tensor]", answer)
    return Interpolation(u, singular)


class _Operator(NamedTuple):
    """M: the edges of S, degrees `(N, 1)`, and the connected component `(N,)` of every point."""

    row: Tensor
    col: Tensor
    value: Tensor
    degree: Tensor
    component: Tensor

    def total(self, values: PointValues) -> PointValues:
        """Return the sum of `values (N, C)` over each point's component, `(N, C)`."""
        return torch.zeros_like(values).index_add(0, self.component, values)[self.component]


class _Potential(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: EdgeValues, ids: NeighbourLists, source: ClassValues, graphs: int, solver: str
    ) -> tuple[Outputs, Mask]:
        queries = len(ids) - len(source)
        operator = _operator(ids, weight.double())
        right = torch.cat([source.new_zeros(queries, source.shape[1]), source]).double()
        dense = solver == "cholesky" or (solver == "auto" and len(ids) // graphs <= _DENSE_LIMIT)
        direct = _dense(operator, queries, graphs) if dense else None
        ctx.inverse = direct or _iterative(operator)  # where rounding made M indefinite, as in solvers.py
        u = ctx.inverse(right)
        label_flags = torch.cat([right.new_zeros(queries, 1), right.new_ones(len(source), 1)])
        singular = operator.total(label_flags)[:queries, 0] == 0
        ctx.operator, ctx.queries = operator, queries
        ctx.save_for_backward(ids, u)
        ctx.mark_non_differentiable(singular)
        return u[:queries].to(weight.dtype), singular

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_u: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        ids, u = ctx.saved_tensors
        operator: _Operator = ctx.operator
        rest = u.new_zeros(len(u) - ctx.queries, u.shape[1])
        adjoint = ctx.inverse(torch.cat([grad_u.double(), rest]))
        degree, volume = operator.degree, operator.total(operator.degree)
        pull, push = operator.total(degree * u), operator.total(degree * adjoint)
        by_degree = (pull * push).sum(1) / volume[:, 0].square()
        by_degree = by_degree - (adjoint * pull + push * u).sum(1) / volume[:, 0]
        by_weight = edge_gradient(adjoint, u, ids) + by_degree[:, None] + by_degree[ids]
        by_weight[:, 0] = 0.0  # a point's weight to itself cancels in L
        return by_weight.to(grad_u.dtype), None, None, None, None


def _operator(ids: Tensor, weight: Tensor) -> _Operator:
    """Return M of neighbour lists; a point whose weights all underflow has degree 1 and no edge."""
    away = torch.ones_like(ids, dtype=torch.bool)
    away[:, 0] = False
    row, col, value = symmetrised(ids, weight, away)
    degree = weight.new_zeros(len(ids)).index_add(0, row, value)
    # too weak for double precision at both ends: the edge is dropped, and the two sides are solved separately
    value = value.masked_fill(value <= NEGLIGIBLE * torch.minimum(degree[row], degree[col]), 0.0)
    degree = weight.new_zeros(len(ids)).index_add(0, row, value)
    is_edge = value > 0
    component = _components(row[is_edge], col[is_edge], len(ids))
    return _Operator(row, col, value, degree.masked_fill(degree == 0, 1.0)[:, None], component)


def _components(row: Tensor, col: Tensor, count: int) -> Tensor:
    """Return the lowest number of a point in each point's connected component, `(N,)`."""
    label = torch.arange(count, device=row.device)
    while True:
        lower = label.scatter_reduce(0, row, label[col], "amin")
        lower = lower[lower]  # follow labels of labels, up to the root of the component
        if torch.equal(lower, label):
            return label
        label = lower


def _dense(operator: _Operator, queries: int, graphs: int) -> Solve | None:
    """Return the solver of `M x = b` by Cholesky, a factor per graph, or None where rounding broke one."""
    count = len(operator.component)
    size, per_query = count // graphs, queries // graphs
    number = torch.arange(count, device=operator.row.device)
    home = torch.where(
        number < queries, number // max(1, per_query), (number - queries) // max(1, size - per_query)
    )
    place = torch.where(
        number < queries,
        number % max(1, per_query),
        per_query + (number - queries) % max(1, size - per_query),
    )
    flat = operator.value.new_zeros(graphs * size * size)
    flat.index_add_(0, (home * size + place)[operator.row] * size + place[operator.col], -operator.value)
    matrix = flat.view(graphs, size, size)
    where = home * size + place
    places = torch.empty_like(number)
    places[where] = number
    singles = operator.total(torch.ones_like(operator.degree)) == 1
    degree = operator.degree.masked_fill(singles, 0.0)  # one point's d d^T / vol is d, and M is that already
    root = (degree / operator.total(operator.degree).sqrt())[places].view(graphs, size)
    component = operator.component[places].view(graphs, size)
    same = component[:, :, None] == component[:, None, :]
    matrix += torch.einsum("gi,gj->gij", root, root) * same
    matrix.diagonal(dim1=1, dim2=2).add_(operator.degree[places, 0].view(graphs, size))
    factor, info = torch.linalg.cholesky_ex(matrix)
    if bool((info > 0).any()):
        return None

    def solve(b: Tensor) -> Tensor:
        x = torch.cholesky_solve(b[places].view(graphs, size, -1), factor)
        return x.flatten(0, 1)[where]

    return solve


def _iterative(operator: _Operator) -> Solve:
    """Return the solver of `M x = b` by conjugate gradients on L, and a shift of every component."""
    degree, volume = operator.degree, operator.total(operator.degree)
    nobody = torch.zeros_like(operator.component, dtype=torch.bool)
    system = System(operator.row, operator.col, operator.value, degree[:, 0], degree, nobody)
    gradients = conjugate_gradients(system)

    def solve(b: Tensor) -> Tensor:
        total = operator.total(b)
        x = gradients(b - degree * total / volume)
        return x + (total - operator.total(degree * x)) / volume

    return solve
