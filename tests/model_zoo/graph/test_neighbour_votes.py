"""Votes of the nearest and kernel densities: brute force, bounds exact at a point, never above the truth."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.graph.carried import distances_over
from model_zoo.graph.independent import interpolate_independent, prepare_template
from model_zoo.graph.interval_vote import share_margins
from model_zoo.graph.knn import nearest_votes, vote_margins_over
from model_zoo.graph.settings import Graph
from model_zoo.graph.soft_neighbours import bandwidth_squared, density_margins_over, log_posteriors

CLASSES = 3


def clusters(seed=0, count=45, width=4, spread=0.7):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centres = 2 * torch.eye(width, dtype=torch.float64)[:CLASSES]
    noise = torch.randn(count + 6, width, generator=generator, dtype=torch.float64)
    y = torch.arange(6) % CLASSES
    points = (centres[labels] + spread * noise[:count]).float()
    return points, labels, (centres[y] + spread * noise[count:]).float().double(), y


def margins_of(u, y):
    return u.gather(-1, y.expand(u.shape[:-1])[..., None]) - u


def segment(queries, direction, radius):
    """Features on a segment each: their box, exact bounds of linear functions, and points of them."""
    low, high = queries - radius * direction.abs(), queries + radius * direction.abs()

    def linear(a, image):
        return a @ queries[image] - radius * (a @ direction[image]).abs() - 1e-12

    steps = torch.linspace(-radius, radius, 201, dtype=torch.float64)[:, None, None]
    return low, high, linear, queries + steps * direction


def brute(query, points, labels, k):
    """Return the class by the definition: votes, then the nearest of the tied."""
    order = sorted(range(len(points)), key=lambda t: math.dist(query, points[t]))[:k]
    votes = Counter(labels[t] for t in order)
    ties = {c for c, count in votes.items() if count == max(votes.values())}
    return next(labels[t] for t in order if labels[t] in ties), votes


@pytest.mark.parametrize("k", [1, 2, 4, 5, 9])
def test_votes_are_those_of_the_definition(k):
    points, labels, queries, _ = clusters(spread=1.5)
    u = nearest_votes(queries.float(), points, labels, classes=CLASSES, k=k)
    assert torch.allclose(u.sum(1), torch.ones(len(u)))
    for row, query in zip(u, queries.tolist(), strict=True):
        winner, votes = brute(query, points.tolist(), labels.tolist(), k)
        assert int(row.argmax()) == winner
        assert all(votes[c] - 1e-5 <= float(row[c]) * (k + 1) <= votes[c] + 1 + 1e-5 for c in range(CLASSES))


def test_densities_are_those_of_the_definition():
    points, labels, queries, _ = clusters()
    answers = log_posteriors(queries, points, labels, classes=CLASSES, h2=0.8)
    for row, query in zip(answers.tolist(), queries.tolist(), strict=True):
        mass = [0.0] * CLASSES
        for point, label in zip(points.tolist(), labels.tolist(), strict=True):
            mass[label] += math.exp(-(math.dist(query, point) ** 2) / 0.8)
        assert row == pytest.approx([math.log(m / sum(mass)) for m in mass], abs=1e-9)


def test_bandwidth_is_the_median_distance_to_the_neighbour():
    points = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0]])
    assert bandwidth_squared(points, 2) == 4.0  # nearest at 1, 1, 2, 3, 4
    assert bandwidth_squared(torch.zeros(4, 1), 2) == 1.0


def knn_bound(low, high, y, points, labels, k, linear=None):
    return vote_margins_over(low, high, y, points, labels, classes=CLASSES, k=k, linear=linear)


def density_bound(low, high, y, points, labels, linear=None):
    return density_margins_over(low, high, y, points, labels, classes=CLASSES, h2=0.8, linear=linear)


@pytest.mark.parametrize("k", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("spread", [0.3, 1.5])
def test_at_a_point_the_sign_of_the_vote_is_exact(k, spread):
    points, labels, queries, y = clusters(spread=spread)
    exact = margins_of(nearest_votes(queries, points.double(), labels, classes=CLASSES, k=k), y)
    bound = knn_bound(queries, queries, y, points, labels, k)
    others = torch.nn.functional.one_hot(y, CLASSES) == 0
    assert bool((bound <= exact + 1e-12).all())
    assert torch.equal((bound > 0)[others], (exact > 0)[others])


def test_at_a_point_the_bound_of_densities_is_exact():
    points, labels, queries, y = clusters()
    exact = margins_of(log_posteriors(queries, points, labels, classes=CLASSES, h2=0.8), y)
    assert torch.allclose(density_bound(queries, queries, y, points, labels), exact, atol=1e-8)


@pytest.mark.thorough
@settings(deadline=None)
@given(seed=st.integers(0, 10_000), radius=st.floats(0.01, 1.0), k=st.integers(1, 9))
def test_nothing_in_reach_does_worse_than_the_bounds_and_linear_ones_are_tighter(seed, radius, k):
    points, labels, queries, y = clusters(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    direction = torch.randn(queries.shape, generator=generator, dtype=torch.float64)
    low, high, linear, candidates = segment(queries, direction, radius)
    flat = candidates.flatten(0, 1)
    votes = nearest_votes(flat, points.double(), labels, classes=CLASSES, k=k).view(201, len(y), -1)
    densities = log_posteriors(flat, points, labels, classes=CLASSES, h2=0.8).view(201, len(y), -1)
    memory = prepare_template(points.double(), labels, classes=CLASSES, graph=Graph(m=8, n=4))
    shares = interpolate_independent(flat, memory).u.view(201, len(y), -1)
    for outputs, bounds in (
        (votes, [knn_bound(low, high, y, points, labels, k, way) for way in (None, linear)]),
        (densities, [density_bound(low, high, y, points, labels, way) for way in (None, linear)]),
        (shares, [share_margins(low, high, y, memory, linear=way) for way in (None, linear)]),
    ):
        true = margins_of(outputs, y).amin(dim=0)
        assert bool((bounds[0] <= bounds[1] + 1e-9).all())
        assert bool((bounds[1] <= true + 1e-9).all())


def test_on_a_segment_linear_bounds_certify_most_of_what_is_true():
    points, labels, queries, y = clusters(3, count=90, spread=0.5)
    direction = torch.randn(queries.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = {"true": [0, 0], "box": [0, 0], "linear": [0, 0]}
    for radius in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6):
        low, high, linear, candidates = segment(queries, direction, radius)
        flat = candidates.flatten(0, 1)
        outputs = (
            nearest_votes(flat, points.double(), labels, classes=CLASSES, k=5),
            log_posteriors(flat, points, labels, classes=CLASSES, h2=0.8),
        )
        for head, u in enumerate(outputs):
            right = u.view(201, len(y), -1).argmax(-1) == y
            counts["true"][head] += int(right.all(dim=0).sum())
        for name, way in (("box", None), ("linear", linear)):
            rows = (
                knn_bound(low, high, y, points, labels, 5, way),
                density_bound(low, high, y, points, labels, way),
            )
            for head, bound in enumerate(rows):
                least = bound.scatter(1, y[:, None], torch.inf).amin(1)
                counts[name][head] += int((least > 0).sum())
    for head in (0, 1):
        assert counts["box"][head] < counts["linear"][head] <= counts["true"][head]
        assert counts["linear"][head] >= 0.7 * counts["true"][head]


def test_distances_hold_those_of_all_points_in_reach():
    points, _, queries, _ = clusters()
    direction = torch.randn(queries.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high, linear, candidates = segment(queries, direction, 0.4)
    for image in range(len(queries)):
        least, most = distances_over(low[image], high[image], points.double(), linear, image)
        true = (candidates[:, image, None] - points.double()).square().sum(-1)
        assert bool((least <= true.amin(0) + 1e-9).all())
        assert bool((most >= true.amax(0) - 1e-9).all())


def test_votes_are_counted_where_points_of_one_class_cannot_be_told_apart():
    # Wherever the query is, three of the five nearest are of class 0, on its own side: never the same three.
    sides = torch.tensor([0.5, 0.55, 0.6, 1.0, 1.01])
    points, labels = torch.cat([sides, -sides])[:, None], torch.tensor([0, 0, 0, 1, 1] * 2)
    low, high, y = (torch.tensor([[end]], dtype=torch.float64) for end in (-0.3, 0.3, 0))
    bound = vote_margins_over(low, high, y[0].long(), points, labels, classes=2, k=5)
    grid = torch.linspace(-0.3, 0.3, 601)[:, None]
    u = nearest_votes(grid, points, labels, classes=2, k=5)
    assert 0 < float(bound[0, 1]) <= float((u[:, 0] - u[:, 1]).min())


@pytest.mark.thorough
@settings(deadline=None)
@given(seed=st.integers(0, 10_000), radius=st.floats(0.0, 1.0), k=st.integers(1, 12), steps=st.integers(1, 4))
def test_bounds_of_votes_hold_where_many_points_are_tied_or_copies(seed, radius, k, steps):
    points, labels, queries, y = clusters(seed, spread=1.0)
    points, queries = ((part * steps).round() / steps for part in (points, queries))
    bound = knn_bound(queries - radius, queries + radius, y, points, labels, k)
    generator = torch.Generator().manual_seed(seed + 1)
    noise = torch.rand(100, *queries.shape, generator=generator, dtype=torch.float64) * 2 - 1
    for candidates in (queries + 0.999 * radius * noise, queries + 0.999 * radius * noise.sign()):
        u = nearest_votes(candidates.flatten(0, 1).float(), points, labels, classes=CLASSES, k=k)
        margins = margins_of(u.double().view(100, len(y), -1), y)
        assert bool((margins.amin(0) >= bound - 1e-6).all())
