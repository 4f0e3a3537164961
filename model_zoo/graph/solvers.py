"""Solvers of `A x = b`: dense Cholesky for few queries, preconditioned conjugate gradients for many."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from model_zoo.graph.system import System
from robench.errors import JobError
from robench.types import Outputs

Solve = Callable[[Tensor], Tensor]

_DENSE_LIMIT = 2048  # queries; above, one dense factorisation costs more than all CG steps
_ROW_SUM_TOLERANCE = 1e-5  # float32 rows further from sum 1 are solved again in float64
_CG_TOLERANCE = 1e-12
_CG_STEPS = 10_000


def solve_rows(system: System, solver: str = "auto") -> tuple[Outputs, Solve]:
    """Solve Eq. 5.

    Rows of the exact solution sum to 1 (A times a vector of ones is the row sum of B), so the computed sums
    measure the error of a float32 factorisation, and dividing by them removes the largest part of it.

    Args:
        system: the equations.
        solver: "cholesky", "cg" or "auto".

    Returns:
        `u (Q, C)`, rows on the probability simplex, and the solver of `A x = b` for other `b (Q, C)`.
    """
    dtype = system.mass.dtype
    dense = solver == "cholesky" or (solver == "auto" and len(system.mass) <= _DENSE_LIMIT)
    solve = cholesky(system) if dense else conjugate_gradients(system.double())
    if solve is not None:
        u = solve(system.mass)
        if not dense or dtype == torch.float64 or _sums_to_one(u):
            return _on_simplex(u), solve
    wide = cholesky(system.double()) or conjugate_gradients(system.double())

    def solve_wide(b: Tensor) -> Tensor:
        return wide(b.double()).to(b.dtype)

    return _on_simplex(wide(system.mass.double())).to(dtype), solve_wide


def cholesky(system: System) -> Solve | None:
    """Return a solver by dense Cholesky factorisation, or None where rounding made A indefinite."""
    size = len(system.mass)
    flat = system.value.new_zeros(size * size).index_add_(0, system.row * size + system.col, -system.value)
    matrix = flat.view(size, size)
    matrix.diagonal().add_(system.degree)
    factor, info = torch.linalg.cholesky_ex(matrix)
    if bool(info):
        return None

    def solve(b: Tensor) -> Tensor:
        return torch.cholesky_solve(b, factor)

    return solve


def conjugate_gradients(system: System) -> Solve:
    """Return a solver by conjugate gradients with Jacobi preconditioning; one recurrence per column of b."""
    size = len(system.mass)
    place = torch.stack([system.row, system.col])
    off_diagonal = torch.sparse_coo_tensor(
        place, system.value, (size, size), check_invariants=False
    ).coalesce()
    diagonal = system.degree[:, None]

    def solve(b: Tensor) -> Tensor:
        right = b.to(diagonal.dtype)
        x = right / diagonal
        residual = right - diagonal * x + torch.sparse.mm(off_diagonal, x)
        # lengths weighted by 1 / diagonal: every row counts, however small its degree
        goal = _CG_TOLERANCE * (right.square() / diagonal).sum(0).sqrt()
        direction = z = residual / diagonal
        rho = (residual * z).sum(0)
        for _ in range(_CG_STEPS):
            if bool((rho.sqrt() <= goal).all()):
                return x.to(b.dtype)
            image = diagonal * direction - torch.sparse.mm(off_diagonal, direction)
            curvature = (direction * image).sum(0)
            step = torch.where(curvature > 0, rho / curvature, 0.0)  # 0: this column is finished
            x = x + step * direction
            residual = residual - step * image
            z = residual / diagonal
            previous, rho = rho, (residual * z).sum(0)
            direction = z + torch.where(previous > 0, rho / previous, 0.0) * direction
        raise JobError(
            expected=f"conjugate gradients to converge in {_CG_STEPS} steps",
            got=f"a residual of {float(rho.sqrt().max()):.1e}",
            do='Use solver="cholesky", or larger n: the graph is nearly disconnected',
        )

    return solve


def _sums_to_one(u: Tensor) -> bool:
    """Tell whether every row sums to 1; False for NaN too."""
    return bool(((u.sum(1) - 1).abs() <= _ROW_SUM_TOLERANCE).all())


def _on_simplex(u: Tensor) -> Tensor:
    """Remove rounding: no negative entries (maximum principle), rows that sum to 1."""
    u = u.clamp_min(0.0)
    return u / u.sum(1, keepdim=True)
