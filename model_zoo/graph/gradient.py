"""The exact gradient of interpolation on a graph, in two parts that heads combine.

`neighbour_distances` sends a gradient of squared distances to the points. `HarmonicExtension` gets one of
the edge weights by implicit differentiation: one more solve with the forward pass's matrix. With `lambda`
from `A lambda = dL/du`, and neighbour sets held fixed (true almost everywhere),
`dL/dS_qj = lambda_q . (u_j - u_q)` and `dL/dW_tq = mu lambda_q . (G_t - u_q)`. Let U hold u on the queries
and G on the template, and Lambda hold lambda on the queries and 0 on the template. As `S = W + W^T`, both
become one formula for the edge i -> j:
`dL/dW_ij = (Lambda_i - Lambda_j) . (U_j - U_i)`, times `1 + mu` where i is a template point.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model_zoo.graph.neighbours import squared_distances
from model_zoo.graph.solvers import solve_rows
from model_zoo.graph.system import build
from robench.types import (
    EdgeValues,
    Features,
    Mask,
    NeighbourLists,
    Outputs,
    PerPair,
    PointLabels,
    Points,
    PointValues,
)

_DENSE_LIMIT = 4096  # points; above, the matrix of coefficients is never made dense
_DIFFERENCE_ELEMENTS = 2**22


def neighbour_distances(
    query: Features, template: Points, index: NeighbourLists, distance2: EdgeValues
) -> EdgeValues:
    """Return the squared distances `(N, m)` of neighbour lists, differentiable in the points.

    Args:
        query: features `(Q, D)`, points 0 .. Q-1.
        template: features `(T, D)`, points Q .. N-1.
        index: neighbours of every point, `(N, m)`.
        distance2: their squared distances from the search.
    """
    return cast("Tensor", _NeighbourDistances.apply(query, template, index, distance2))


class _NeighbourDistances(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Features, template: Points, index: NeighbourLists, distance2: EdgeValues
    ) -> EdgeValues:
        ctx.save_for_backward(query, template, index)
        return distance2.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, coefficient: EdgeValues) -> tuple[Tensor | None, ...]:
        """Return dL/d(query) and, only if requested, dL/d(template)."""
        query, template, index = ctx.saved_tensors
        points = torch.cat([query, template])
        rows = len(points) if ctx.needs_input_grad[1] else len(query)
        grad = _pull(coefficient, index, points, rows)
        by_template = grad[len(query) :] if ctx.needs_input_grad[1] else None
        return grad[: len(query)], by_template, None, None


def cross_distances(query: Features, template: Points) -> PerPair:
    """Return the squared distances `(Q, T)` of every query to every template point.

    Differentiable once in `query (Q, D)`; `template (T, D)` is constant.
    """
    return cast("Tensor", _CrossDistances.apply(query, template))


class _CrossDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Features, template: Points) -> PerPair:
        ctx.save_for_backward(query, template)
        everyone = torch.arange(len(template), device=query.device).expand(len(query), -1)
        return squared_distances(query, template, everyone)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, coefficient: PerPair) -> tuple[Features, None]:
        """Return dL/d(query)."""
        query, template = ctx.saved_tensors
        centre = template.mean(0)  # a shared offset would only add cancellation
        pull = coefficient.sum(1, keepdim=True) * (query - centre) - coefficient @ (template - centre)
        return 2 * pull, None


class HarmonicExtension(torch.autograd.Function):
    """`u (Q, C)` and `singular (Q,)` of Eq. 5 from neighbour lists; differentiable once in the weights."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: EdgeValues,
        index: NeighbourLists,
        labels: PointLabels,
        classes: int,
        mu: float,
        solver: str,
    ) -> tuple[Outputs, Mask]:
        """Build the system from weights `(N, m)` of the lists `index (N, m)` and solve it."""
        system = build(index, weight, labels, classes, mu)
        u, ctx.solve = solve_rows(system, solver)
        ctx.save_for_backward(index, labels, system.singular, u)
        ctx.mu, ctx.classes = mu, classes
        ctx.mark_non_differentiable(system.singular)
        return u, system.singular

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_u: Outputs, _: Tensor) -> tuple[Tensor | None, ...]:
        """Return dL/d(weight)."""
        index, labels, singular, u = ctx.saved_tensors
        # rows of singular queries are constant; their edges are too weak to count
        adjoint = ctx.solve(grad_u.masked_fill(singular[:, None], 0.0))
        one_hot = F.one_hot(labels, ctx.classes).to(u.dtype)
        spread = torch.cat([adjoint, torch.zeros_like(one_hot)])
        by_weight = edge_gradient(spread, torch.cat([u, one_hot]), index)
        by_weight[len(u) :] *= 1 + ctx.mu
        return by_weight, None, None, None, None, None


def edge_gradient(spread: PointValues, values: PointValues, index: NeighbourLists) -> EdgeValues:
    """Return `(spread_i - spread_j) . (values_j - values_i)`, `(N, m)`, of every edge i -> j of the lists."""
    grad = torch.empty(index.shape, dtype=values.dtype, device=values.device)
    step = _rows_at_once(index, values.shape[1])
    for start in range(0, len(index), step):
        at = slice(start, start + step)
        there = index[at]
        grad[at] = ((spread[at, None] - spread[there]) * (values[there] - values[at, None])).sum(-1)
    return grad


def _pull(coefficient: Tensor, index: Tensor, points: Tensor, rows: int) -> Tensor:
    """Return the gradient of `sum_ik coefficient_ik |z_i - z_index[i, k]|^2` in the first `rows` points."""
    total = len(points)
    if total <= _DENSE_LIMIT:
        dense = coefficient.new_zeros(total, total).scatter_(1, index, coefficient)
        both = dense[:rows] + dense.T[:rows]
        offsets = points - points.mean(0)
        return 2 * (both.sum(1, keepdim=True) * offsets[:rows] - both @ offsets)
    grad = torch.zeros_like(points)
    step = _rows_at_once(index, points.shape[1])
    for start in range(0, total, step):
        at = slice(start, start + step)
        pull = 2 * coefficient[at, :, None] * (points[at, None] - points[index[at]])
        grad[at] += pull.sum(1)
        grad.index_add_(0, index[at].flatten(), pull.flatten(0, 1), alpha=-1)
    return grad[:rows]


def _rows_at_once(index: Tensor, width: int) -> int:
    """Return how many neighbour lists to gather `width` numbers per neighbour for, in bounded memory."""
    return max(1, _DIFFERENCE_ELEMENTS // (index.shape[1] * width))
