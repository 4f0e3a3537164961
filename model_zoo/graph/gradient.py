"""The exact gradient of Eq. 5 by implicit differentiation: one more solve with the forward pass's matrix.

With `lambda` from `A lambda = dL/du`, and neighbour sets held fixed (true almost everywhere),
`dL/dS_qj = lambda_q . (u_j - u_q)` and `dL/dW_tq = mu lambda_q . (G_t - u_q)`. Let U hold u on the queries
and G on the template, and Lambda hold lambda on the queries and 0 on the template. As `S = W + W^T`, both
become one formula for the edge i -> j:
`dL/dW_ij = (Lambda_i - Lambda_j) . (U_j - U_i)`, times `1 + mu` where i is a template point.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model_zoo.graph.neighbours import nearest_neighbours
from model_zoo.graph.settings import Graph
from model_zoo.graph.solvers import solve_rows
from model_zoo.graph.system import build
from model_zoo.graph.weights import edge_weights, sigma_squared, weight_slopes

_DENSE_LIMIT = 4096  # points; above, the matrix of coefficients is never made dense
_DIFFERENCE_ELEMENTS = 2**22


class JointInterpolation(torch.autograd.Function):
    """`u (Q, C)` and `singular (Q,)` of Eq. 5; differentiable once in the query and template features."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, template: Tensor, labels: Tensor, classes: int, graph: Graph
    ) -> tuple[Tensor, Tensor]:
        """Build the graph and solve it."""
        points = torch.cat([query, template])
        mu = graph.coupling(points=len(points), template=len(template))
        index, distance2 = nearest_neighbours(points, graph.m, search=graph.search)
        sigma2 = sigma_squared(distance2, graph.n)[:, None]
        weight = edge_weights(distance2, sigma2, graph.kernel)
        system = build(index, weight, labels, classes, mu)
        u, ctx.solve = solve_rows(system, graph.solver)
        ctx.save_for_backward(points, labels, index, distance2, system.singular, u)
        ctx.graph, ctx.mu, ctx.classes = graph, mu, classes
        ctx.mark_non_differentiable(system.singular)
        return u, system.singular

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_u: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Return dL/d(query) and, only if asked for, dL/d(template)."""
        points, labels, index, distance2, singular, u = ctx.saved_tensors
        queries = len(u)
        # rows of singular queries are constant; what edges they have are too weak to count
        adjoint = ctx.solve(grad_u.masked_fill(singular[:, None], 0.0))
        by_weight = _edge_gradient(adjoint, u, F.one_hot(labels, ctx.classes).to(u.dtype), index, ctx.mu)
        n = ctx.graph.n
        by_distance2, by_sigma2 = weight_slopes(distance2, distance2[:, n - 1 : n], ctx.graph.kernel)
        coefficient = by_weight * by_distance2
        coefficient[:, n - 1] += (by_weight * by_sigma2).sum(1)  # sigma2 is itself the n-th distance
        rows = len(points) if ctx.needs_input_grad[1] else queries
        grad = _pull(coefficient, index, points, rows)
        by_template = grad[queries:] if ctx.needs_input_grad[1] else None
        return grad[:queries], by_template, None, None, None


def _edge_gradient(adjoint: Tensor, u: Tensor, one_hot: Tensor, index: Tensor, mu: float) -> Tensor:
    """Return dL/dW `(N, m)` for every edge of the neighbour lists."""
    queries = len(u)
    values = torch.cat([u, one_hot])
    spread = torch.cat([adjoint, torch.zeros_like(one_hot)])
    grad = torch.empty(index.shape, dtype=u.dtype, device=u.device)
    step = _rows_at_once(index, u.shape[1])
    for start in range(0, len(index), step):
        at = slice(start, start + step)
        there = index[at]
        grad[at] = ((spread[at, None] - spread[there]) * (values[there] - values[at, None])).sum(-1)
    grad[queries:] *= 1 + mu
    return grad


def _pull(coefficient: Tensor, index: Tensor, points: Tensor, rows: int) -> Tensor:
    """Return the gradient of `sum_ik coefficient_ik |z_i - z_index[i, k]|^2` in the first `rows` points."""
    total = len(points)
    if total <= _DENSE_LIMIT:
        dense = coefficient.new_zeros(total, total).scatter_(1, index, coefficient)
        both = dense[:rows] + dense.T[:rows]
        centred = points - points.mean(0)
        return 2 * (both.sum(1, keepdim=True) * centred[:rows] - both @ centred)
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
