"""The smallest change of an image that satisfies linear inequalities, exactly, under L2 and Linf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_ROUNDS = 1000
_TOLERANCE = 1e-9


def smallest_step(rows: Vector, least: Vector, low: Vector, high: Vector, *, norm: str) -> Vector | None:
    """Return the smallest v (D,) with `rows v >= least` and `low <= v <= high`, None if none exists.

    Only violated inequalities are given to the solver, until none is violated: the solution is that
    of all of them. Under L2 it is the least distance program of Lawson & Hanson 1974 (chapter 23), solved by
    non-negative least squares, under Linf a linear program.

    Args:
        rows: (N, D) float64, not all zero.
        least: (N,).
        low: (D,), at most 0.
        high: (D,), at least 0.
        norm: `L2` or `Linf`.
    """
    import numpy as np

    scale = np.linalg.norm(rows, axis=1)
    rows, least = rows / scale[:, None], least / scale
    size = rows.shape[1]
    every = np.concatenate([rows, np.eye(size), -np.eye(size)])
    bound = np.concatenate([least, low, -high])
    solve = _least_distance if norm == "L2" else _least_maximum
    step: Vector | None = np.zeros(size)
    active: list[int] = []
    for _ in range(_ROUNDS):
        assert step is not None  # None was returned at once
        gap = bound - every @ step
        gap[active] = -np.inf
        worst = np.argsort(-gap)[:8]
        worst = worst[gap[worst] > _TOLERANCE]
        if len(worst) == 0:
            return step
        active += worst.tolist()
        step = solve(every[active], bound[active])
        if step is None:
            return None
    return None


def _least_distance(rows: Vector, least: Vector) -> Vector | None:
    """Return the v of least L2 norm with `rows v >= least`."""
    import numpy as np
    from scipy.optimize import nnls

    matrix = np.concatenate([rows.T, least[None]])
    target = np.zeros(len(matrix))
    target[-1] = 1.0
    weights: Vector
    weights, distance = nnls(matrix, target, maxiter=50 * len(rows) + 1000)
    if distance < 1e-7:  # the inequalities contradict each other
        return None
    residual: Vector = matrix @ np.asarray(weights, dtype=np.float64) - target
    step: Vector = -residual[:-1] / residual[-1]
    return step


def _least_maximum(rows: Vector, least: Vector) -> Vector | None:
    """Return a v of least Linf norm with `rows v >= least`."""
    import numpy as np
    from scipy.optimize import linprog

    size = rows.shape[1]
    price = np.zeros(size + 1)
    price[-1] = 1.0
    bounds: list[tuple[Any, Any]] = [(None, None)] * size + [(0, None)]
    columns = np.concatenate([-rows, np.zeros((len(rows), 1))], axis=1)
    # |v_i| <= r
    box = np.block([[np.eye(size), -np.ones((size, 1))], [-np.eye(size), -np.ones((size, 1))]])
    answer = linprog(
        price,
        A_ub=np.concatenate([columns, box]),
        b_ub=np.concatenate([-least, np.zeros(2 * size)]),
        bounds=bounds,
        method="highs",
    )
    if answer.status != 0 or answer.x is None:
        return None
    return np.asarray(answer.x[:-1], dtype=np.float64)
