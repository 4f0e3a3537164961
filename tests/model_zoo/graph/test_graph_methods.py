"""Every graph method against dense NumPy, closed forms and finite differences."""

import numpy as np
import pytest
import torch

from model_zoo.graph import Graph, interpolate, interpolate_independent, prepare_template
from model_zoo.graph.gradient import HarmonicExtension
from model_zoo.graph.p_laplace import game_values, p_laplace, p_laplace_values
from model_zoo.graph.poisson import poisson, poisson_independent, potential
from model_zoo.graph.properly_weighted import Reach, properly_weighted, typical_scale
from model_zoo.graph.self_tuning import self_tuning, self_tuning_independent
from robench.errors import InputError
from tests.model_zoo.graph import graph_truths as truth

REACH = Reach(radius=0.8, alpha=2.5, zeta=1e4)
JOINT = {
    "laplace": lambda z, t, y, c, g: interpolate(z, t, y, classes=c, graph=g),
    "pwll": lambda z, t, y, c, g: properly_weighted(z, t, y, classes=c, graph=g, reach=REACH),
    "gll": lambda z, t, y, c, g: self_tuning(z, t, y, classes=c, graph=g),
    "poisson": lambda z, t, y, c, g: poisson(z, t, y, classes=c, graph=g),
    "p_laplace": lambda z, t, y, c, g: p_laplace_values(z, t, y, classes=c, graph=g, p=4.0),
}
ALONE = {
    "laplace": interpolate_independent,
    "gll": self_tuning_independent,
    "poisson": poisson_independent,
}


def graph_of(method, m, n, **options):
    return Graph(m=m, n=m if method == "gll" else n, mu="none", **options)


def in_numpy(method, query, template, labels, classes, m, n):
    """The truth (Q, C), and the weights it was computed on."""
    points, one_hot = np.concatenate([query, template]), np.eye(classes)[labels]
    s = truth.self_tuned(points, m) if method == "gll" else truth.symmetric(points, m, n)
    if method == "poisson":
        return truth.poisson(s, one_hot), s
    if method == "p_laplace":
        return truth.p_laplace(s, one_hot, 4.0), s
    return truth.harmonic(
        truth.properly(s, points, len(query), *REACH) if method == "pwll" else s, one_hot
    ), s


@pytest.mark.parametrize("method", JOINT)
def test_agrees_with_dense_numpy(method):
    comparisons = 0
    for seed in range(40):
        query, template, labels, classes, m, n = truth.problem(seed)
        want, s = in_numpy(method, query.numpy(), template.numpy(), labels.numpy(), classes, m, n)
        if not truth.connected(s):
            continue
        comparisons += 1
        for solver in ("cholesky", "cg"):
            graph = graph_of(method, m, n, solver=solver)
            got = JOINT[method](query, template, labels, classes, graph)
            assert got.singular_count == 0
            assert np.abs(got.u.numpy() - want).max() < 1e-9, (seed, solver)
    assert comparisons > 25


@pytest.mark.thorough
@pytest.mark.parametrize("method", ALONE)
def test_alone_is_a_joint_graph_of_one(method):
    for seed in range(15):
        query, template, labels, classes, m, n = truth.problem(seed)
        query[0] = template[0]  # nearer than any neighbour: it shifts every list it is in
        graph = graph_of(method, m, n)
        got = ALONE[method](query, prepare_template(template, labels, classes=classes, graph=graph))
        want = torch.cat([JOINT[method](row[None], template, labels, classes, graph).u for row in query])
        torch.testing.assert_close(got.u, want, rtol=1e-9, atol=1e-11)


@pytest.mark.thorough
@pytest.mark.parametrize("method", JOINT)
@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_gradcheck_in_queries_and_template(method, solver):
    if method == "p_laplace" and solver == "cg":
        pytest.skip("it is not solved by conjugate gradients")
    query, template, labels, classes, m, n = truth.problem(3)
    graph = graph_of(method, m, n, solver=solver)
    query, template = query.requires_grad_(), template.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda q, t: JOINT[method](q, t, labels, classes, graph).u, (query, template), atol=1e-6
    )
    (gradient,) = torch.autograd.grad(
        JOINT[method](query, template, labels, classes, graph).u[:, 0].sum(), query
    )
    assert gradient.abs().max() > 1e-4


@pytest.mark.thorough
@pytest.mark.parametrize("method", ALONE)
def test_gradcheck_alone(method):
    query, template, labels, classes, m, n = truth.problem(4)
    memory = prepare_template(template, labels, classes=classes, graph=graph_of(method, m, n))
    query = query.requires_grad_()
    assert torch.autograd.gradcheck(lambda q: ALONE[method](q, memory).u, (query,), atol=1e-6)


@pytest.mark.thorough
def test_gradcheck_of_the_normalised_p_laplacian():
    query, template, labels, classes, m, n = truth.problem(5)
    graph = Graph(m=m, n=n)
    assert torch.autograd.gradcheck(
        lambda q: p_laplace(q, template, labels, classes=classes, graph=graph, p=10.0).u,
        (query.requires_grad_(),),
        atol=1e-6,
    )


def path(inner, weight=1.0):
    """Lists and weights of a path: `inner` queries in order, then the left end, then the right end."""
    chain = [inner, *range(inner), inner + 1]
    ids, weights = (
        torch.zeros(inner + 2, 3, dtype=torch.int64),
        torch.zeros(inner + 2, 3, dtype=torch.float64),
    )
    for place, point in enumerate(chain):
        beside = [chain[i] for i in (place - 1, place + 1) if 0 <= i < len(chain)]
        ids[point] = torch.tensor([point, *beside, *([point] * (2 - len(beside)))])
        weights[point] = torch.tensor([1.0, *([weight] * len(beside)), *([0.0] * (2 - len(beside)))])
    return ids, weights.requires_grad_()


def test_on_a_path_the_harmonic_function_is_linear():
    ids, weight = path(7)
    u, _ = HarmonicExtension.apply(weight, ids, torch.tensor([0, 1]), 2, 0.0, "cholesky")
    want = torch.arange(1, 8, dtype=torch.float64) / 8
    torch.testing.assert_close(u, torch.stack([1 - want, want], 1))


@pytest.mark.parametrize("p", [2.0, 3.0, 50.0])
def test_on_a_path_every_p_gives_the_same(p):
    """Two neighbours: the middle of highest and lowest is the mean."""
    ids, weight = path(7)
    got = game_values(weight, ids, torch.tensor([0, 1]), classes=2, p=p)
    want = torch.arange(1, 8, dtype=torch.float64) / 8
    torch.testing.assert_close(got.u, torch.stack([1 - want, want], 1))


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_on_a_path_the_potential_falls_by_the_current_over_the_weight(solver):
    """Half a unit flows in at one end and out at the other, through edges of S = 2 w."""
    ids, weight = path(7, weight=0.4)
    source = torch.tensor([[0.5, -0.5], [-0.5, 0.5]], dtype=torch.float64)
    got = potential(weight, ids, source, 1, solver)
    want = torch.arange(-3, 4, dtype=torch.float64) * 0.5 / 0.8
    torch.testing.assert_close(got.u, torch.stack([-want, want], 1))


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_a_component_without_labels_is_singular_and_one_with_few_gets_their_excess(solver):
    """Two pairs, each a query and a labelled point, and two queries joined to each other only."""
    ids = torch.tensor([[0, 4], [1, 5], [2, 3], [3, 2], [4, 0], [5, 1]])
    weight = torch.full((6, 2), 0.5, dtype=torch.float64, requires_grad=True)
    source = torch.tensor([[0.5, -0.5], [-0.5, 0.5]], dtype=torch.float64)
    got = potential(weight, ids, source, 1, solver)
    assert got.singular.tolist() == [False, False, True, True]
    # a pair has degrees 1, 1 and volume 2: potentials -+ f / 4 inside it, and f / 2 for the excess
    torch.testing.assert_close(got.u.detach()[:2], source * (0.5 - 0.25))
    assert (got.u[2:] == 0).all()
    assert torch.autograd.gradcheck(lambda w: potential(w, ids, source, 1, solver).u, (weight,))


@pytest.mark.parametrize("bridge", [1e-3, 1e-7, 1e-10])
def test_a_weak_bridge_carries_the_current_all_the_same(bridge):
    """Label, query - bridge - query, label: half a unit crosses it, whatever the drop it takes."""
    ids = torch.tensor([[0, 2, 1], [1, 3, 0], [2, 0, 2], [3, 1, 3]])
    weight = torch.tensor([[1.0, 0.5, bridge / 2]] * 2 + [[1.0, 0.5, 0.0]] * 2, dtype=torch.float64)
    source = torch.tensor([[0.5, -0.5], [-0.5, 0.5]], dtype=torch.float64)
    for solver in ("cholesky", "cg"):
        u = potential(weight, ids, source, 1, solver).u
        drop = u[0] - u[1]
        torch.testing.assert_close(drop * bridge, source[0], rtol=1e-4, atol=0)


def test_a_point_whose_weights_all_vanish_stands_alone():
    ids = torch.tensor([[0, 2], [1, 2], [2, 1], [3, 1]])
    weight = torch.tensor([[1.0, 0.0], [1.0, 0.5], [1.0, 0.5], [1.0, 0.5]], dtype=torch.float64)
    source = torch.tensor([[0.5, -0.5], [-0.5, 0.5]], dtype=torch.float64)
    for solver in ("cholesky", "cg"):
        got = potential(weight, ids, source, 1, solver)
        assert got.singular.tolist() == [True, False]
        assert (got.u[0] == 0).all()
        assert torch.isfinite(got.u).all()


def test_a_star_of_labels_is_a_share_and_half_of_the_rest():
    ids = torch.tensor([[0, 1, 2, 3], [1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]])
    weight = torch.zeros(4, 4, dtype=torch.float64)
    weight[0, 1:] = torch.tensor([1.0, 2.0, 5.0])
    got = game_values(weight, ids, torch.tensor([0, 0, 1]), classes=3, p=5.0)
    want = [0.25 * 3 / 8 + 0.75 / 2, 0.25 * 5 / 8 + 0.75 / 2, 0.0]
    torch.testing.assert_close(got.u[0], torch.tensor(want, dtype=torch.float64))


def test_two_is_laplace_and_large_p_gives_large_gaps_away_from_it():
    query, template, labels, classes, m, n = truth.problem(6)
    graph = Graph(m=m, n=n, mu="none")
    plain = interpolate(query, template, labels, classes=classes, graph=graph).u
    two = p_laplace(query, template, labels, classes=classes, graph=graph, p=2.0).u
    torch.testing.assert_close(two, plain)
    assert (
        p_laplace(query, template, labels, classes=classes, graph=graph, p=20.0).u - plain
    ).abs().max() > 0.01


def test_weights_near_the_template_hold_u_at_its_label():
    """With one label in 60, u of Laplace learning is a spike: next to it u is far from it. gamma ties it."""
    rng = torch.Generator().manual_seed(0)
    z = torch.rand(600, 2, generator=rng, dtype=torch.float64)
    template, labels = torch.tensor([[0.1, 0.5], [0.9, 0.5]], dtype=torch.float64), torch.tensor([0, 1])
    graph = Graph(m=12, n=6, mu="none")
    near = (z - template[0]).norm(dim=1) < 0.06
    plain = interpolate(z, template, labels, classes=2, graph=graph).u[near, 0]
    reweighted_u = properly_weighted(z, template, labels, classes=2, graph=graph, reach=Reach(0.3, 3.0)).u[
        near, 0
    ]
    assert near.sum() > 3
    assert reweighted_u.min() > plain.max() > 0.5


def test_float32_is_close_to_float64():
    query, template, labels, classes, m, n = truth.problem(7)
    for method, call in JOINT.items():
        rows = [
            call(query.to(d), template.to(d), labels, classes, graph_of(method, m, n)).u.double()
            for d in (torch.float32, torch.float64)
        ]
        assert (rows[0] - rows[1]).abs().max() < 2e-5, method


@pytest.mark.parametrize("method", JOINT)
def test_copies_and_far_points_give_no_nan(method):
    query, template, labels, classes, m, n = truth.problem(8, torch.float32)
    template[: m + 2] = template[0]
    query[0] = template[0]
    query[1] += 1e4
    query = query.requires_grad_()
    got = JOINT[method](query, template, labels, classes, graph_of(method, m, n))
    assert torch.isfinite(got.u).all()
    (gradient,) = torch.autograd.grad(got.u.square().sum(), query)
    assert torch.isfinite(gradient).all()


def test_what_cannot_be_is_refused():
    query, template, labels, classes, m, n = truth.problem(9)
    graph = Graph(m=m, n=n)
    for p in (1.5, float("inf"), float("nan")):
        with pytest.raises(InputError, match="p of at least 2"):
            p_laplace(query, template, labels, classes=classes, graph=graph, p=p)
    many = query[:1].expand(1025, -1)
    with pytest.raises(InputError, match="at most 1024"):
        p_laplace(many, template, labels, classes=classes, graph=graph, p=3.0)
    with pytest.raises(InputError, match="tell most template images apart"):
        typical_scale(template[:1].expand(30, -1), graph)
    for call in JOINT.values():
        with pytest.raises(InputError, match="like the template's"):
            call(query[:, :1], template, labels, classes, graph)
