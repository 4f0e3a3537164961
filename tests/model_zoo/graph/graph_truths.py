"""What the graph heads compute, once more: dense, in NumPy, from the formulas, neighbours by brute force."""

import numpy as np
import torch
from scipy.spatial.distance import cdist


def problem(seed, dtype=torch.float64):
    """A small random problem: queries (Q, D), template (T, D), its labels (T,), classes, m, n."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 5))
    queries, template = int(rng.integers(3, 25)), int(rng.integers(10, 30))
    y = np.arange(queries + template) % classes
    width = int(rng.integers(2, 7))
    z = rng.standard_normal((classes, width))[y] + 0.9 * rng.standard_normal((len(y), width))
    m = int(rng.integers(5, 10))
    z = torch.from_numpy(z).to(dtype)
    labels = torch.from_numpy(y[queries:])
    return z[:queries], z[queries:], labels, classes, m, int(rng.integers(3, m + 1))


def lists_of(points, m):
    """Squared distances (N, N) and neighbours (N, m), every point first in its own list."""
    d2 = cdist(points, points, "sqeuclidean")
    return d2, np.argsort(d2, axis=1, kind="stable")[:, :m]


def symmetric(points, m, n):
    """S = W + W^T, W_ij = exp(-d_ij^2 / sigma_i^2) for the m nearest j of i, without the diagonal."""
    d2, near = lists_of(points, m)
    w = np.zeros_like(d2)
    for i, those in enumerate(near):
        w[i, those] = np.exp(-d2[i, those] / d2[i, those[n - 1]])
    np.fill_diagonal(w, 0)
    return w + w.T


def self_tuned(points, m):
    """S_ij = exp(-4 d_ij^2 / (eps_i eps_j)) where one end is among the m nearest of the other."""
    d2, near = lists_of(points, m)
    edge = np.zeros(d2.shape, dtype=bool)
    np.put_along_axis(edge, near, True, axis=1)
    eps = np.sqrt(np.take_along_axis(d2, near[:, -1:], 1)[:, 0])
    s = np.where(edge | edge.T, np.exp(-4 * d2 / np.outer(eps, eps)), 0.0)
    np.fill_diagonal(s, 0)
    return s


def harmonic(s, one_hot):
    """Laplace's equation on the first Q points, the last T being labelled."""
    q = len(s) - len(one_hot)
    laplacian = np.diag(s.sum(1)) - s
    return np.linalg.solve(laplacian[:q, :q], s[:q, q:] @ one_hot)


def properly(s, points, queries, radius, alpha, zeta):
    """The weights (gamma_i + gamma_j) S_ij."""
    distance = cdist(points, points[queries:]).min(1)
    gamma = np.minimum(1 + (radius / np.maximum(distance, 1e-9)) ** alpha, zeta)
    return (gamma[:, None] + gamma) * s


def poisson(s, one_hot):
    """The least-squares solution of L u = f, shifted to sum_i d_i u_i = 0; a connected graph is assumed."""
    degree = s.sum(1)
    source = np.zeros((len(s), one_hot.shape[1]))
    source[len(s) - len(one_hot) :] = one_hot - one_hot.mean(0)
    u = np.linalg.pinv(np.diag(degree) - s) @ source
    return (u - degree @ u / degree.sum())[: len(s) - len(one_hot)]


def p_laplace(s, one_hot, p, tolerance=1e-13):
    """Value iteration from 0, which climbs to the solution, class by class."""
    q = len(s) - len(one_hot)
    step, edge, alpha = s / s.sum(1, keepdims=True), s > 0, 1 / (p - 1)
    columns = []
    for values in one_hot.T:
        u = np.concatenate([np.zeros(q), values])
        while True:
            high = np.where(edge[:q], u, -np.inf).max(1)
            low = np.where(edge[:q], u, np.inf).min(1)
            new = alpha * (step[:q] @ u) + (1 - alpha) * (high + low) / 2
            change = np.abs(new - u[:q]).max()
            u[:q] = new
            if change < tolerance:
                break
        columns.append(u[:q])
    return np.stack(columns, 1)


def connected(s):
    """Whether every point is joined to every other."""
    component = np.zeros(len(s), dtype=bool)
    component[0] = True
    while True:
        more = component | (s[component] > 1e-9).any(0)
        if (more == component).all():
            return bool(component.all())
        component = more
