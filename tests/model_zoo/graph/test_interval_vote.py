"""Bounds of the independent protocol over boxes: exact at a point, sound by samples, close to a fine grid."""

import pytest
import torch

from model_zoo.graph.independent import interpolate_independent, prepare_template
from model_zoo.graph.interval_vote import share_margins, vote_margins
from model_zoo.graph.settings import Graph
from model_zoo.graph.voting import vote_independent


def clusters(count=60, width=4, classes=3, seed=0, spread=0.3):
    """Return a template of clusters around corners, and queries near them with their classes."""
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.eye(max(width, classes), dtype=torch.float64)[:classes, :width]
    labels = torch.arange(count) % classes
    points = centres[labels] + spread * torch.randn(count, width, generator=generator, dtype=torch.float64)
    y = torch.arange(8) % classes
    queries = centres[y] + spread * torch.randn(8, width, generator=generator, dtype=torch.float64)
    return points, labels, queries, y


def prepared_of(points, labels, *, classes=3, **graph):
    settings = {"m": 10, "n": 5} | graph
    return prepare_template(points, labels, classes=classes, graph=Graph(**settings))


def margins_of(u, y):
    return u.gather(-1, y.expand(u.shape[:-1])[..., None]) - u


GRAPHS = [{}, {"kernel": "published"}, {"mu": "published"}, {"m": 5}, {"m": 30, "n": 2}]


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("spread", [0.3, 1.5])
def test_at_a_point_the_bound_is_the_head_itself(graph, spread):
    points, labels, queries, y = clusters(spread=spread)
    memory = prepared_of(points, labels, **graph)
    exact = margins_of(interpolate_independent(queries, memory).u, y)
    bound = share_margins(queries, queries, y, memory)
    assert torch.allclose(bound, exact, atol=2e-3)
    assert bool((bound <= exact + 1e-12).all())


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("radius", [0.02, 0.1, 0.4, 1.0])
def test_no_point_of_the_box_does_worse_than_the_bound(graph, radius):
    points, labels, queries, y = clusters(spread=0.7, seed=2)
    memory = prepared_of(points, labels, **graph)
    bound = share_margins(queries - radius, queries + radius, y, memory)
    noise = (
        torch.rand(400, *queries.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
        - 1
    )
    for candidates in (queries + radius * noise, queries + radius * noise.sign()):
        u = interpolate_independent(candidates.flatten(0, 1), memory).u.view(400, len(y), -1)
        assert bool((margins_of(u, y) >= bound - 1e-9).all())
    assert bool((bound >= -1).all())
    assert bool((bound.gather(1, y[:, None]) == 0).all())


def test_clusters_far_apart_are_certified_as_far_as_the_next_one():
    points, labels, queries, y = clusters(spread=0.05)
    memory = prepared_of(points, labels)
    bound = share_margins(queries - 0.5, queries + 0.5, y, memory)
    others = bound.scatter(1, y[:, None], torch.inf)
    assert bool((others > 0.9).all())
    wide = share_margins(queries - 3.0, queries + 3.0, y, memory)
    assert bool((wide.scatter(1, y[:, None], torch.inf).amin(1) <= 0).all())


@pytest.mark.thorough
def test_in_one_dimension_the_bound_is_below_a_fine_grid_and_certifies_most_of_what_is_true():
    # Class 0 at 0, 0.1, ..., 0.9, class 1 at 3, 3.1, ..., 3.9: the middle between them is 1.95.
    points = torch.cat([torch.arange(10) / 10, 3 + torch.arange(10) / 10]).double()[:, None]
    labels = torch.arange(20) // 10
    memory = prepared_of(points, labels, classes=2, m=6, n=3)
    query, y = torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([0])

    def bound(radius):
        return float(share_margins(query - radius, query + radius, y, memory)[0, 1])

    def truth(radius):
        grid = torch.linspace(0.5 - radius, 0.5 + radius, 4001, dtype=torch.float64)[:, None]
        return float(margins_of(interpolate_independent(grid, memory).u, y)[:, 1].min())

    radii = torch.arange(0.02, 2.0, 0.02).tolist()
    proofs = [radius for radius in radii if bound(radius) > 0]
    true = [radius for radius in radii if truth(radius) > 0]
    assert all(bound(radius) <= truth(radius) + 1e-9 for radius in radii)
    assert set(proofs) <= set(true)
    assert max(true) > 1.4  # the nearest five are all of class 0 up to a distance of 1.25 and beyond
    assert max(proofs) >= 0.6 * max(true)


@pytest.mark.parametrize("rule", ["mean", "majority"])
@pytest.mark.parametrize("radius", [0.0, 0.1, 0.5])
def test_votes_are_bounded_too(rule, radius):
    parts = [clusters(spread=0.7, seed=seed) for seed in range(3)]
    memories = [prepared_of(points, labels) for points, labels, _, _ in parts]
    queries, y = parts[0][2], parts[0][3]
    each = [share_margins(queries - radius, queries + radius, y, one) for one in memories]
    bound = vote_margins(each, y, rule)
    noise = (
        torch.rand(200, *queries.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
        - 1
    )
    u = vote_independent((queries + radius * noise).flatten(0, 1), memories, rule=rule).u.view(
        200, len(y), -1
    )
    assert bool((margins_of(u, y) >= bound - 1e-9).all())
    if radius == 0 and rule == "mean":
        assert torch.allclose(bound, margins_of(u[0], y), atol=2e-3)
