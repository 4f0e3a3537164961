"""Exact neighbour search and edge weights."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from model_zoo.graph import (
    Graph,
    edge_weights,
    nearest_neighbours,
    neighbours_in,
    sigma_squared,
)
from model_zoo.graph import neighbours as neighbours_module
from model_zoo.graph.search import smallest
from robench.errors import InputError


def points(seed, count=300, width=8, dtype=torch.float32):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("search", ["auto", "torch", "faiss"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_a_tree(search, dtype):
    z = points(0, dtype=dtype)
    ids, distance2 = nearest_neighbours(z, 9, search=search)
    want, order = cKDTree(z.double().numpy()).query(z.double().numpy(), 9)
    np.testing.assert_array_equal(ids.numpy(), order)
    np.testing.assert_allclose(distance2.numpy(), want**2, rtol=1e-6, atol=1e-30)
    assert distance2.dtype == dtype


@pytest.mark.parametrize("search", ["torch", "faiss"])
def test_queries_in_a_reference_set(search):
    z, q = points(1), points(2, count=40)
    ids, _ = neighbours_in(q, z, 7, search=search)
    _, order = cKDTree(z.double().numpy()).query(q.double().numpy(), 7)
    np.testing.assert_array_equal(ids.numpy(), order)


@pytest.mark.parametrize("search", ["torch", "faiss"])
def test_a_point_is_its_own_first_neighbour_even_among_many_duplicates(search):
    z = points(3, count=120)
    z[10:90] = z[10]
    ids, distance2 = nearest_neighbours(z, 12, search=search)
    assert (ids[:, 0] == torch.arange(120)).all()
    assert (distance2[:, 0] == 0).all()
    assert (distance2[10:90] == 0).all()
    assert all(len(set(row)) == 12 for row in ids.tolist())
    # ties go to the lowest index: after itself, a copy lists the first copies
    assert ids[50].tolist() == [50, *range(10, 21)]


@pytest.mark.parametrize("search", ["torch", "faiss"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_go_to_the_lowest_index(search, dtype):
    """Points of a small lattice: nearly every list ends in a tie between different points."""
    z = torch.randint(0, 3, (200, 7), generator=torch.Generator().manual_seed(11)).to(dtype)
    ids, _ = nearest_neighbours(z, 10, search=search)
    exact = (z[:, None] - z).square().sum(-1).int()
    exact.fill_diagonal_(-1)
    assert torch.equal(ids, exact.sort(dim=1, stable=True).indices[:, :10])


@pytest.mark.parametrize("search", ["torch", "faiss"])
def test_rounding_does_not_choose_neighbours(search):
    """Tight far-away groups: in float32, |x|^2 - 2xy + |y|^2 is pure noise within each of them."""
    rng = torch.Generator().manual_seed(4)
    z = (torch.randint(-2, 3, (4, 1), generator=rng) * 3000.0).repeat_interleave(40, 0)
    z = z + torch.randint(0, 2**10, (160, 5), generator=rng) / 2.0**8
    ids, distance2 = nearest_neighbours(z, 8, search=search)
    want, _ = cKDTree(z.double().numpy()).query(z.double().numpy(), 8)
    np.testing.assert_allclose(distance2.numpy(), want**2, rtol=1e-6)
    assert (ids[:, 0] == torch.arange(160)).all()


@pytest.mark.parametrize("search", ["torch", "faiss"])
def test_small_blocks_give_the_same(monkeypatch, search):
    z = points(5)
    whole = nearest_neighbours(z, 9, search=search)
    monkeypatch.setattr(neighbours_module, "PRODUCT_ELEMENTS", 300 * 7)
    monkeypatch.setattr(neighbours_module, "_DIFFERENCE_ELEMENTS", 8 * 9 * 3)
    for a, b in zip(whole, nearest_neighbours(z, 9, search=search), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("count", [32 * 45, 32 * 45 + 7])
@pytest.mark.parametrize("blocks", [1, 3])
def test_many_points_are_searched_by_groups(monkeypatch, count, blocks):
    """Above some 1,400 points minima of groups come first; every list is that of a tree all the same."""
    z = points(6, count=count)
    z[1::50] = z[0]  # copies lie in many groups
    monkeypatch.setattr(neighbours_module, "PRODUCT_ELEMENTS", count * (count // blocks))
    _, distance2 = nearest_neighbours(z, 9)
    want, _ = cKDTree(z.double().numpy()).query(z.double().numpy(), 9)
    np.testing.assert_allclose(distance2.numpy(), want**2, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("k", [1, 5, 21])
@pytest.mark.parametrize("rows", [1, 40])
def test_the_smallest_by_groups_are_those_of_all(k, rows):
    """Few distinct values, so that minima of groups tie; padding is infinite."""
    values = torch.randint(0, 50, (rows, 32 * 64), generator=torch.Generator().manual_seed(k)).float()
    values[:, ::3] += 0.5
    values[:, -40:] = torch.inf
    nearest, columns = smallest(values, k)
    assert torch.equal(nearest.sort(dim=1).values, values.sort(dim=1).values[:, :k])
    assert torch.equal(values.gather(1, columns), nearest)
    assert all(len(set(row)) == k for row in columns.tolist())


def test_features_whose_squares_overflow_are_searched_in_double_precision():
    z = points(7, count=32 * 45) * 1e15  # around two places whose own squares are infinite in float32
    z += torch.where(torch.arange(len(z)) % 2 == 0, 1.5e19, -1.5e19)[:, None]
    _, distance2 = nearest_neighbours(z, 4)
    want, _ = cKDTree(z.double().numpy()).query(z.double().numpy(), 4)
    np.testing.assert_allclose(distance2.numpy(), want**2, rtol=1e-6)


@pytest.mark.parametrize("search", ["torch", "faiss"])
def test_all_points_as_neighbours(search):
    z = points(6, count=12)
    ids, _ = nearest_neighbours(z, 12, search=search)
    assert (ids.sort(1).values == torch.arange(12)).all()


@pytest.mark.parametrize("search", ["torch", "faiss"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_refuses_what_has_no_neighbours(search, bad):
    z = points(7, count=20)
    bad_rows = z.clone()
    bad_rows[3, 1] = bad
    with pytest.raises(InputError, match="finite"):
        nearest_neighbours(bad_rows, 3, search=search)
    with pytest.raises(InputError, match="m = 21"):
        nearest_neighbours(z, 21, search=search)
    with pytest.raises(InputError, match="dimension"):
        neighbours_in(z[:, :3], z, 3, search=search)


def test_faiss_refuses_what_overflows_its_precision():
    with pytest.raises(InputError, match="float32"):
        nearest_neighbours(points(8, dtype=torch.float64) * 1e40, 3, search="faiss")


def test_unknown_search():
    with pytest.raises(InputError, match="nowhere"):
        nearest_neighbours(points(8), 3, search="nowhere")


def test_weights_by_hand():
    d2 = torch.tensor([[0.0, 1.0, 4.0, 9.0]], dtype=torch.float64)
    sigma2 = sigma_squared(d2, 3)
    assert sigma2.tolist() == [4.0]
    want = torch.tensor([[1.0, np.exp(-0.25), np.exp(-1.0), np.exp(-2.25)]], dtype=torch.float64)
    torch.testing.assert_close(edge_weights(d2, sigma2[:, None]), want)
    want = torch.tensor([[1.0, np.exp(-1 / 16), np.exp(-1.0), np.exp(-81 / 16)]], dtype=torch.float64)
    torch.testing.assert_close(edge_weights(d2, sigma2[:, None], "published"), want)


@pytest.mark.parametrize("kernel", ["gaussian", "published"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_scale_is_the_limit(kernel, dtype):
    d2 = torch.tensor([[0.0, 0.0, 1e-3, 1e30]], dtype=dtype)
    zero = torch.zeros(1, 1, dtype=dtype)
    limit = edge_weights(d2, zero, kernel)
    assert limit.tolist() == [[1.0, 1.0, 0.0, 0.0]]
    assert torch.equal(limit, edge_weights(d2, zero + 1e-12, kernel))
    for sigma2 in (zero, zero + torch.finfo(dtype).tiny, zero + 1e-12):
        inputs = (d2.clone().requires_grad_(), sigma2.clone().requires_grad_())
        slopes = torch.autograd.grad(edge_weights(*inputs, kernel).sum(), inputs)
        assert all(torch.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n": 1}, "n = 1"),
        ({"m": 5, "n": 6}, "n = 6, m = 5"),
        ({"kernel": "gausian"}, "gaussian"),
        ({"mu": "x"}, "mu"),
        ({"search": "hnsw"}, "search"),
        ({"solver": "lu"}, "solver"),
    ],
)
def test_bad_settings_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        Graph(**options)
