"""The settings of a graph: number of neighbours, kernel, coupling constant."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from robench.errors import InputError, nearest

KERNELS = ("gaussian", "published")
MUS = ("paper", "published", "published_integer", "none")
SEARCHES = ("auto", "torch", "faiss")
SOLVERS = ("auto", "cholesky", "cg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """How a weighted nonlocal Laplacian graph is built and solved.

    Args:
        m: neighbours each point keeps, itself counted as the first.
        n: the neighbour whose distance is the point's own scale sigma, itself counted as the first.
        kernel: "gaussian", `exp(-d2 / sigma2)` as in the paper; "published", `exp(-(d2 / sigma2)^2)` as in
            the authors' code.
        mu: weight of the template term; "paper" is `N / T - 1` (Eq. 5), "published" is `N / T`, and
            "published_integer" is `N / T` rounded down, as Python 2 divides whole numbers; "none" is 0:
            Laplace's equation, without a term of its own for the template.
        search: "torch" or "faiss"; both are exact. "auto" is "torch", which never leaves the device.
        solver: "cholesky", "cg", or "auto" (Cholesky while the number of queries is small).

    Example:
        >>> Graph(m=15, n=8).coupling(points=1000, template=500)
        1.0
    """

    m: int = 30
    n: int = 15
    kernel: str = "gaussian"
    mu: str = "paper"
    search: str = "auto"
    solver: str = "auto"

    def __post_init__(self) -> None:
        if self.n < 2:
            raise InputError(
                expected="n of at least 2 (a point is its own first neighbour, at distance 0)",
                got=f"n = {self.n}",
                do="Raise n; the paper uses 15",
            )
        if self.n > self.m:
            raise InputError(
                expected="n no larger than m (sigma is the distance to one of the m neighbours)",
                got=f"n = {self.n}, m = {self.m}",
                do="Lower n or raise m; the paper uses m = 30, n = 15",
            )
        _choice("kernel", self.kernel, KERNELS)
        _choice("mu", self.mu, MUS)
        _choice("search", self.search, SEARCHES)
        _choice("solver", self.solver, SOLVERS)

    def coupling(self, *, points: int, template: int) -> float:
        """Return the constant mu of Eq. 5 for a graph of `points`, `template` of them labelled."""
        if self.mu == "none":
            return 0.0
        if self.mu == "published_integer":
            return float(points // template)
        return points / template - (1.0 if self.mu == "paper" else 0.0)


def _choice(name: str, value: str, choices: Collection[str]) -> None:
    """Refuse a value outside `choices`."""
    if value not in choices:
        raise InputError(expected=f"a {name} this graph has", got=repr(value), do=nearest(value, choices))
