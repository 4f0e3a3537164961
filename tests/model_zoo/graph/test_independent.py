"""The independent protocol: one query, one graph, whatever batch it travels in."""

import pytest
import torch

from model_zoo.graph import Graph, interpolate, interpolate_independent, prepare_template


def problem(seed, dtype=torch.float64, queries=12, template=60, classes=3, width=4):
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(queries + template) % classes
    z = torch.randn(classes, width, generator=rng, dtype=torch.float64)[y]
    z = (z + 0.7 * torch.randn(len(y), width, generator=rng, dtype=torch.float64)).to(dtype)
    return z[:queries], z[queries:], y[queries:]


def one_by_one(query, template, labels, classes, graph):
    return torch.cat([interpolate(q[None], template, labels, classes=classes, graph=graph).u for q in query])


GRAPHS = [
    Graph(m=8, n=4),
    Graph(m=8, n=2),
    Graph(m=6, n=6),
    Graph(m=8, n=4, kernel="published", mu="published"),
    Graph(m=61, n=30),
    Graph(m=61, n=61),
]


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_equals_the_joint_solve_of_one_query_in_value_and_gradient(graph, dtype, atol):
    query, template, labels = problem(0, dtype)
    memory = prepare_template(template, labels, classes=3, graph=graph)
    weights = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
    a, b = query.clone().requires_grad_(), query.clone().requires_grad_()
    got = interpolate_independent(a, memory)
    want = one_by_one(b, template, labels, 3, graph)
    torch.testing.assert_close(got.u, want, rtol=0, atol=atol)
    (got.u * weights).sum().backward()
    (want * weights).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=20 * atol)
    assert a.grad.abs().max() > 1e-3
    assert got.singular_count == 0


def test_a_query_changes_the_scale_of_the_template_points_it_comes_near():
    """Without the clamp of sigma_t by the newcomer's distance this would be off; see the module's text."""
    graph = Graph(m=8, n=4)
    query, template, labels = problem(2)
    query = template[:12] + 0.05
    memory = prepare_template(template, labels, classes=3, graph=graph)
    want = one_by_one(query, template, labels, 3, graph)
    torch.testing.assert_close(interpolate_independent(query, memory).u, want, rtol=0, atol=1e-10)
    nearer = torch.cdist(query, template).square() < memory.outer2
    assert nearer.any(1).all()


@pytest.mark.thorough
@pytest.mark.parametrize("graph", [Graph(m=8, n=4), Graph(m=8, n=4, search="faiss")], ids=str)
def test_duplicates_of_template_points(graph):
    _, template, labels = problem(3)
    template[:20] = template[0]
    query = torch.cat([template[:1], template[30:34], template[:1] + 1e-3])
    memory = prepare_template(template, labels, classes=3, graph=graph)
    got = interpolate_independent(query, memory).u
    torch.testing.assert_close(got, one_by_one(query, template, labels, 3, graph), rtol=0, atol=1e-10)
    assert torch.isfinite(got).all()


@pytest.mark.parametrize("kernel", ["gaussian", "published"])
def test_gradcheck(kernel):
    query, template, labels = problem(4, queries=6)
    memory = prepare_template(template, labels, classes=3, graph=Graph(m=8, n=4, kernel=kernel))
    query.requires_grad_()
    assert torch.autograd.gradcheck(lambda q: interpolate_independent(q, memory).u, (query,), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_batch_does_not_matter(dtype):
    query, template, labels = problem(5, dtype, queries=40, template=150)
    memory = prepare_template(template, labels, classes=3, graph=Graph(m=15, n=8))
    whole = interpolate_independent(query, memory).u
    alone = torch.cat([interpolate_independent(q[None], memory).u for q in query])
    backwards = interpolate_independent(query.flip(0), memory).u.flip(0)
    for other in (alone, backwards):
        torch.testing.assert_close(whole, other, rtol=0, atol=1e-12 if dtype == torch.float64 else 2e-6)
    variant = query.clone()
    variant[1:] = query[0]
    torch.testing.assert_close(interpolate_independent(variant, memory).u[0], whole[0], rtol=0, atol=2e-6)


def test_rows_sum_to_one_and_differ_from_the_joint_protocol():
    query, template, labels = problem(6, queries=40)
    graph = Graph(m=10, n=5)
    u = interpolate_independent(query, prepare_template(template, labels, classes=3, graph=graph)).u
    torch.testing.assert_close(u.sum(1), torch.ones(40, dtype=u.dtype))
    assert (u >= 0).all()
    assert (u - interpolate(query, template, labels, classes=3, graph=graph).u).abs().max() > 1e-3
