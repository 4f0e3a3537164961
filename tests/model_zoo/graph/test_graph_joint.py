"""The joint protocol against an independent sparse implementation, and the laws Eq. 5 implies."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import spsolve
from scipy.spatial.distance import cdist

from model_zoo.graph import Graph, interpolate, nearest_neighbours
from model_zoo.graph.system import build
from model_zoo.graph.weights import edge_weights


def clusters(seed, count, classes=4, width=6, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, width, generator=rng, dtype=dtype)
    return centres[labels] + 0.8 * torch.randn(count, width, generator=rng, dtype=dtype), labels


def with_scipy(query, template, labels, classes, graph):
    """Eq. 5 from the paper's text: brute-force neighbours, sparse matrices, a direct solver."""
    z = np.concatenate([query, template]).astype(np.float64)
    q, t, total = len(query), len(template), len(query) + len(template)
    d2 = cdist(z, z, "sqeuclidean")
    order = np.argsort(d2, axis=1, kind="stable")[:, : graph.m]
    rows = np.repeat(np.arange(total), graph.m)
    near = np.take_along_axis(d2, order, 1)
    ratio = near / near[:, graph.n - 1 : graph.n]
    w = np.exp(-ratio if graph.kernel == "gaussian" else -(ratio**2))
    w = sp.csr_matrix((w.ravel(), (rows, order.ravel())), shape=(total, total)).tolil()
    w.setdiag(0)
    w = w.tocsr()
    s = w + w.T
    mu = total / t - (1 if graph.mu == "paper" else 0)
    back = w[q:, :q].T
    degree = np.asarray(s[:q].sum(1)).ravel() + mu * np.asarray(back.sum(1)).ravel()
    a = sp.diags(degree) - s[:q, :q]
    b = (s[:q, q:] + mu * back) @ np.eye(classes)[labels]
    return spsolve(a.tocsc(), b)


@pytest.mark.parametrize("kernel", ["gaussian", "published"])
@pytest.mark.parametrize("mu", ["paper", "published"])
@pytest.mark.parametrize(
    ("dtype", "solver"), [("float64", "cholesky"), ("float32", "cholesky"), ("float32", "cg")]
)
def test_agrees_with_an_independent_sparse_implementation(kernel, mu, dtype, solver):
    z, y = clusters(0, 240)
    z = z.to(getattr(torch, dtype))
    graph = Graph(m=12, n=6, kernel=kernel, mu=mu, solver=solver)
    got = interpolate(z[:140], z[140:], y[140:], classes=4, graph=graph)
    want = with_scipy(z[:140].numpy(), z[140:].numpy(), y[140:].numpy(), 4, graph)
    assert np.abs(got.u.numpy() - want).max() < (1e-10 if dtype == "float64" else 1e-5)
    assert got.u.dtype == z.dtype
    assert got.singular_count == 0


def test_the_four_variants_differ():
    z, y = clusters(1, 120)
    results = [
        interpolate(z[:80], z[80:], y[80:], classes=4, graph=Graph(m=12, n=6, kernel=kernel, mu=mu)).u
        for kernel in ("gaussian", "published")
        for mu in ("paper", "published")
    ]
    gaps = [(a - b).abs().max() for i, a in enumerate(results) for b in results[:i]]
    assert min(gaps) > 1e-4


def test_the_matrix_is_symmetric_and_weakly_diagonally_dominant():
    z, y = clusters(2, 150)
    index, distance2 = nearest_neighbours(z, 10)
    system = build(index, edge_weights(distance2, distance2[:, 4:5]), y[90:], 4, 1.5)
    a = torch.diag(system.degree).index_put((system.row, system.col), -system.value, accumulate=True)
    assert torch.equal(a, a.T)
    off = a.abs().sum(1) - a.diagonal()
    assert (a.diagonal() - off >= -1e-12).all()
    assert (a.diagonal() - off > 1e-3).any()
    assert (a - torch.diag(a.diagonal()) <= 0).all()
    torch.testing.assert_close(a.sum(1), system.mass.sum(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_rows_stay_on_the_simplex_with_duplicates_and_zero_scales(seed, dtype):
    z, y = clusters(seed, 160)
    z[::3] = z[0]  # more than m copies of one point: their sigma is 0
    z[40:60] *= 1e-3
    z = z.to(dtype)
    q = z[:90].clone().requires_grad_()
    got = interpolate(q, z[90:], y[90:], classes=4, graph=Graph(m=9, n=5))
    assert torch.isfinite(got.u).all()
    assert (got.u >= 0).all()
    assert (got.u <= 1).all()
    torch.testing.assert_close(got.u.sum(1), torch.ones(90, dtype=got.u.dtype), rtol=0, atol=1e-5)
    got.u.square().sum().backward()
    assert torch.isfinite(q.grad).all()
    assert q.grad.abs().max() > 0


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_queries_without_a_path_to_the_template_are_uniform_and_counted(solver, dtype):
    z, y = clusters(3, 120, dtype=dtype)
    z[:25] += 1000.0
    q = z[:60].clone().requires_grad_()
    got = interpolate(q, z[60:], y[60:], classes=4, graph=Graph(m=8, n=4, solver=solver))
    assert got.singular.tolist() == [True] * 25 + [False] * 35
    assert got.singular_count == 25
    assert (got.u[:25] == 0.25).all()
    alone = interpolate(
        z[25:60], z[60:], y[60:], classes=4, graph=Graph(m=8, n=4, solver=solver, mu="published")
    )
    assert alone.singular_count == 0
    got.u[:, 0].sum().backward()
    assert (q.grad[:25] == 0).all()
    assert torch.isfinite(q.grad).all()
    assert q.grad[25:].abs().max() > 0


def test_a_barely_connected_cluster_is_solved_not_guessed():
    """Weights to the template near 1e-9 of the degree: A is singular in float32, not in float64."""
    rng = torch.Generator().manual_seed(4)
    tight = 0.2 * torch.randn(12, 3, generator=rng)
    some = 0.2 * torch.randn(20, 3, generator=rng) + torch.tensor([3.1, 0.0, 0.0])
    template = torch.cat([some, some + 0.02 * torch.randn(20, 3, generator=rng)])
    labels = (torch.arange(40) >= 20).long()
    graph = Graph(m=14, n=8)
    want = with_scipy(tight.numpy(), template.numpy(), labels.numpy(), 2, graph)
    grads = []
    for dtype in (torch.float32, torch.float64):
        query = tight.to(dtype, copy=True).requires_grad_()
        got = interpolate(query, template.to(dtype), labels, classes=2, graph=graph)
        assert got.singular_count == 0
        assert np.abs(got.u.detach().numpy() - want).max() < 1e-4
        got.u[:, 0].sum().backward()
        grads.append(query.grad.double())
    assert 0.1 < want[0, 0] < 0.9
    assert (grads[0] - grads[1]).abs().max() < 1e-3 * grads[1].abs().max()


def test_conjugate_gradients_agree_with_cholesky():
    z, y = clusters(5, 400)
    q = [z[:250].clone().requires_grad_() for _ in range(2)]
    for one, solver in zip(q, ("cholesky", "cg"), strict=True):
        u = interpolate(one, z[250:], y[250:], classes=4, graph=Graph(m=10, n=5, solver=solver)).u
        u.clamp_min(1e-9).log().sum().backward()
        one.u = u.detach()
    torch.testing.assert_close(q[0].u, q[1].u, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(q[0].grad, q[1].grad, rtol=1e-6, atol=1e-8)


def test_faiss_and_torch_give_one_answer():
    z, y = clusters(6, 300, dtype=torch.float32)
    by_torch, by_faiss = (
        interpolate(z[:150], z[150:], y[150:], classes=4, graph=Graph(m=10, n=5, search=s)).u
        for s in ("torch", "faiss")
    )
    torch.testing.assert_close(by_torch, by_faiss, rtol=0, atol=1e-6)


def test_no_queries_give_no_rows():
    z, y = clusters(7, 40)
    assert interpolate(z[:0], z, y, classes=4, graph=Graph(m=5, n=3)).u.shape == (0, 4)


def harmonic_error(count, seed):
    """Mean error on a sphere without two polar caps; on the rest u is linear in log tan(theta / 2)."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, 3))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    theta = np.arccos(z[:, 2])
    cap = np.pi / 3
    at_poles = (theta < cap) | (theta > np.pi - cap)
    low, high = np.log(np.tan([cap / 2, (np.pi - cap) / 2]))
    truth = (np.log(np.tan(theta / 2)) - low) / (high - low)
    labels = torch.from_numpy((theta > np.pi / 2).astype(np.int64))
    z = torch.from_numpy(z)
    got = interpolate(z[~at_poles], z[at_poles], labels[at_poles], classes=2, graph=Graph(m=20, n=10))
    return np.abs(got.u[:, 1].numpy() - truth[~at_poles]).mean()


@pytest.mark.thorough
def test_theorem_3_converges_to_the_harmonic_function():
    errors = [np.mean([harmonic_error(count, seed) for seed in range(4)]) for count in (250, 1000, 4000)]
    assert errors[0] > 1.3 * errors[1] > 1.3 * 1.3 * errors[2]
    assert errors[2] < 0.03
