"""The game-theoretic p-Laplacian (Calder 2018, arXiv:1711.10144), one equation for each class.

`u_q = alpha mean_S(u)_q + (1 - alpha) (max_j u_j + min_j u_j) / 2` over the neighbours j of every query q,
`alpha = 1 / (p - 1)`, u being one-hot on the template: the value of tug-of-war with noise. p = 2 is
Laplace's equation, p = infinity the absolutely minimal extension.

The equation is the value equation of a stochastic game, which policy iteration (Hoffman & Karp 1966) solves
in finitely many linear solves: the maximiser improves its choice of neighbours, each time against a
minimiser's best reply. Gradient: implicit differentiation of the linear system of the two final choices,
`A^T lambda = dL/du`, `dL/dS_qj = alpha lambda_q . (u_j - mean_S(u)_q) / d_q`; choices and neighbour sets are
held fixed, which is true almost everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from model_zoo.graph.interpolation import Interpolation, joint_lists
from model_zoo.graph.settings import Graph
from model_zoo.graph.system import build
from model_zoo.graph.weights import edge_weights, sigma_squared
from robench.errors import InputError, JobError
from robench.types import EdgeValues, Features, Mask, NeighbourLists, Outputs, PointLabels, Points

LARGEST = 1024
"""Most queries in one graph: the systems are dense, one for each class."""
_BETTER = 1e-12  # least gain that changes a choice: smaller gains are rounding, and could cycle without end
_ROUNDS = 1000


def p_laplace(
    query: Features, template: Points, labels: PointLabels, *, classes: int, graph: Graph, p: float
) -> Interpolation:
    """Extend the template's labels to the queries in one joint graph; arguments as `interpolate`.

    The classes' solutions lie in [0, 1]; for p other than 2 they do not sum to 1, and are divided by their
    sum. Differentiable once in the query and template features; `graph.mu` and `graph.solver` are not used.

    Args:
        query: features `(Q, D)`, at most `LARGEST` rows.
        template: features `(T, D)`.
        labels: template classes `(T,)`.
        classes: number of classes, C.
        graph: neighbours, kernel and search.
        p: at least 2; infinity is refused, because the result would not depend on the weights.
    """
    if not 2 <= p < float("inf"):
        raise InputError(expected="p of at least 2, and finite", got=f"p = {p}")
    if len(query) > LARGEST:
        raise InputError(
            expected=f"at most {LARGEST} images in one graph of the p-Laplacian",
            got=f"{len(query)}",
            do="Set a smaller `shard`",
        )
    values = p_laplace_values(query, template, labels, classes=classes, graph=graph, p=p)
    return Interpolation(values.u / values.u.sum(1, keepdim=True), values.singular)


def p_laplace_values(
    query: Features, template: Points, labels: PointLabels, *, classes: int, graph: Graph, p: float
) -> Interpolation:
    """Return the solutions of the classes side by side, `(Q, C)`, not divided by their sum."""
    lists = joint_lists(query, template, labels, classes=classes, graph=graph)
    with torch.autocast(query.device.type, enabled=False):
        weight = edge_weights(lists.distance2, sigma_squared(lists.distance2, graph.n)[:, None], graph.kernel)
        return game_values(weight, lists.ids, lists.labels, classes=classes, p=p)


def game_values(
    weight: EdgeValues, ids: NeighbourLists, labels: PointLabels, *, classes: int, p: float
) -> Interpolation:
    """Solve the equations for weights `(N, m)` of neighbour lists `ids (N, m)`, the template being last."""
    answer = _GameValue.apply(weight, ids, labels, classes, 1 / (p - 1))
    u, singular = cast("tuple[Tensor, Tensor]", answer)
    return Interpolation(u, singular)


class _Game(NamedTuple):
    """One linear system for each class and pair of choices.

    Attributes:
        step: `(Q, N)` rows of the random walk, `S_qj / d_q`.
        open: `(Q, N)` bool, the neighbours of each query.
        known: `(C, T)` values on the template.
        alpha: share of the random walk.
    """

    step: Tensor
    open: Tensor
    known: Tensor
    alpha: float

    def matrix(self, highest: Int[Tensor, "K B"], lowest: Int[Tensor, "K B"]) -> Float[Tensor, "K B P"]:
        """Return `P (C, Q, N)`, where every query's value is its row times all values; choices `(C, Q)`."""
        tug = torch.zeros(*highest.shape, self.step.shape[1], dtype=self.step.dtype, device=self.step.device)
        half = torch.full_like(highest, (1 - self.alpha) / 2, dtype=self.step.dtype)[..., None]
        for choice in (highest, lowest):
            tug.scatter_add_(2, choice[..., None], half)
        return tug.add_(self.step, alpha=self.alpha)

    def values(self, highest: Int[Tensor, "K B"], lowest: Int[Tensor, "K B"]) -> Float[Tensor, "K P"]:
        """Return the values `(C, N)` under two fixed choices."""
        queries = len(self.step)
        matrix = self.matrix(highest, lowest)
        right = matrix[..., queries:] @ self.known[..., None]
        system = torch.eye(queries, dtype=right.dtype, device=right.device) - matrix[..., :queries]
        return torch.cat([torch.linalg.solve(system, right)[..., 0], self.known], dim=1)

    def improved(
        self, choice: Int[Tensor, "K B"], values: Float[Tensor, "K P"], sign: int
    ) -> tuple[Int[Tensor, "K B"], bool]:
        """Return each query's best neighbour (its choice unless another is better), and if one changed."""
        options = (sign * values)[:, None, :].masked_fill(~self.open, -torch.inf)
        best = options.max(dim=2)
        present = options.gather(2, choice[..., None])[..., 0]
        better = best.values > present + _BETTER
        return torch.where(better, best.indices, choice), bool(better.any())

    def solve(self) -> tuple[Float[Tensor, "K P"], Int[Tensor, "K B"], Int[Tensor, "K B"]]:
        """Return the values of the game `(C, N)`, and the maximiser's and minimiser's choices `(C, Q)`."""
        first = self.open.to(torch.uint8).argmax(1).expand(len(self.known), -1)
        highest, lowest = first, first
        for _ in range(_ROUNDS):
            values = self.values(highest, lowest)
            lowest, has_change = self.improved(lowest, values, -1)
            if has_change:  # until no neighbour is a better reply
                continue
            highest, has_change = self.improved(highest, values, 1)
            if not has_change:
                return values, highest, lowest
        raise JobError(
            expected=f"policy iteration to end within {_ROUNDS} rounds",
            got="choices that still change",
            do="Lower p",
        )


class _GameValue(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: EdgeValues, ids: NeighbourLists, labels: PointLabels, classes: int, alpha: float
    ) -> tuple[Outputs, Mask]:
        """Return the classes' solutions `(Q, C)`, and which queries `(Q,)` have no path to the template.

        Args:
            ctx: keeps what the gradient needs.
            weight: of every point's edges `(N, m)`, N = Q + T, the template being last.
            ids: every point's neighbours `(N, m)`, itself included.
            labels: template classes `(T,)`.
            classes: number of classes, C.
            alpha: share of the random walk, `1 / (p - 1)`, above 0 and at most 1.
        """
        queries = len(ids) - len(labels)
        # mu = 0: the edges between queries, the singular ones cut off already
        singular = build(ids, weight.double(), labels, classes, 0.0).singular
        degree, step = _walk(ids, weight.double(), queries)
        alive = ~singular
        own_step = step[alive][:, _with_template(alive, len(labels))]
        game = _Game(own_step, own_step > 0, F.one_hot(labels, classes).T.to(step.dtype), alpha)
        u = step.new_full((classes, queries), 1 / classes)
        if bool(alive.any()):
            values, highest, lowest = game.solve()
            u[:, alive] = values[:, : int(alive.sum())]
            ctx.system = (
                torch.eye(int(alive.sum()), dtype=step.dtype, device=step.device)
                - game.matrix(highest, lowest)[..., : int(alive.sum())]
            )
        ctx.alpha, ctx.alive = alpha, alive
        ctx.save_for_backward(ids, degree, step, torch.cat([u, game.known], dim=1))
        ctx.mark_non_differentiable(singular)
        return u.T.to(weight.dtype), singular

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_u: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        ids, degree, step, values = ctx.saved_tensors
        alive = ctx.alive
        queries = len(alive)
        adjoint = torch.zeros_like(values)
        if bool(alive.any()):
            right = grad_u.double().T[:, alive, None]
            adjoint[:, :queries][:, alive] = torch.linalg.solve(ctx.system.transpose(1, 2), right)[..., 0]
        share = torch.zeros_like(values)
        share[:, :queries] = ctx.alpha * adjoint[:, :queries] / degree
        mean = torch.zeros_like(values)
        mean[:, :queries] = values @ step.T
        share, mean, values = share.T, mean.T, values.T
        # dL/dS_ij of both directions of the edge i -> j, as S = W + W^T
        there = (share[:, None] * (values[ids] - mean[:, None])).sum(-1)
        back = (share[ids] * (values[:, None] - mean[ids])).sum(-1)
        by_weight = there + back
        by_weight[:, 0] = 0.0  # a point is not its own neighbour
        return by_weight.to(grad_u.dtype), None, None, None, None


def _walk(ids: Tensor, weight: Tensor, queries: int) -> tuple[Tensor, Tensor]:
    """Return the degrees `(Q,)` of the queries and the rows `(Q, N)` of the random walk on `S = W + W^T`."""
    count = len(ids)
    dense = weight.new_zeros(count, count).scatter_(1, ids, weight)
    dense.fill_diagonal_(0.0)
    rows = dense[:queries] + dense.T[:queries]
    degree = rows.sum(1)
    return degree, rows / degree.masked_fill(degree == 0, 1.0)[:, None]


def _with_template(alive: Tensor, size: int) -> Tensor:
    """Return which points `(N,)` remain: the queries that are not singular, and the template."""
    return torch.cat([alive, alive.new_ones(size)])
