"""The exact gradient of the joint protocol."""

import pytest
import torch

from model_zoo.graph import Graph, interpolate
from model_zoo.graph import gradient as gradient_module


def problem(seed, queries=14, template=16, classes=3, width=4):
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(queries + template) % classes
    z = torch.randn(classes, width, generator=rng, dtype=torch.float64)[y]
    z = z + 0.7 * torch.randn(len(y), width, generator=rng, dtype=torch.float64)
    return z[:queries].requires_grad_(), z[queries:].requires_grad_(), y[queries:]


@pytest.mark.thorough
@pytest.mark.parametrize("kernel", ["gaussian", "published"])
@pytest.mark.parametrize("mu", ["paper", "published"])
@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_gradcheck_in_queries_and_template(kernel, mu, solver):
    query, template, labels = problem(0)
    graph = Graph(m=7, n=4, kernel=kernel, mu=mu, solver=solver)
    assert torch.autograd.gradcheck(
        lambda q, t: interpolate(q, t, labels, classes=3, graph=graph).u, (query, template), atol=1e-6
    )


def test_the_template_gets_a_gradient_only_if_asked():
    query, template, labels = problem(1)
    graph = Graph(m=7, n=4)
    interpolate(query, template.detach(), labels, classes=3, graph=graph).u[:, 0].sum().backward()
    first = query.grad.clone()
    query.grad = None
    interpolate(query, template, labels, classes=3, graph=graph).u[:, 0].sum().backward()
    torch.testing.assert_close(query.grad, first)
    assert template.grad.abs().max() > 0


def test_moving_everything_together_changes_nothing():
    """u depends on differences only, so all gradients add up to zero; and u rows keep summing to one."""
    query, template, labels = problem(2)
    graph = Graph(m=7, n=4)
    weights = torch.randn(14, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    (interpolate(query, template, labels, classes=3, graph=graph).u * weights).sum().backward()
    assert (query.grad.sum(0) + template.grad.sum(0)).abs().max() < 1e-12
    assert query.grad.abs().max() > 1e-3
    query.grad = None
    interpolate(query, template, labels, classes=3, graph=graph).u.sum().backward()
    assert query.grad.abs().max() < 1e-12


def test_the_path_for_large_graphs_gives_the_same(monkeypatch):
    query, template, labels = problem(3)
    grads = []
    for limit, elements in ((4096, 2**22), (0, 40)):
        monkeypatch.setattr(gradient_module, "_DENSE_LIMIT", limit)
        monkeypatch.setattr(gradient_module, "_DIFFERENCE_ELEMENTS", elements)
        u = interpolate(query, template, labels, classes=3, graph=Graph(m=7, n=4)).u
        grads.append(torch.autograd.grad(u[:, 1].square().sum(), (query, template)))
    for small, large in zip(*grads, strict=True):
        torch.testing.assert_close(small, large)


def test_float32_gradient_is_close_to_float64():
    query, template, labels = problem(4, queries=60, template=60)
    graph = Graph(m=12, n=6)
    grads = []
    for dtype in (torch.float64, torch.float32):
        q = query.detach().to(dtype).requires_grad_()
        interpolate(q, template.detach().to(dtype), labels, classes=3, graph=graph).u[
            :, 0
        ].square().sum().backward()
        grads.append(q.grad.double())
    assert (grads[0] - grads[1]).abs().max() < 1e-4 * grads[0].abs().max()
