"""The joint protocol (the paper's): all queries and the template share one graph, Eq. 5 is solved once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from model_zoo.graph.coverage import check_features, check_points, check_template
from model_zoo.graph.gradient import HarmonicExtension, neighbour_distances
from model_zoo.graph.neighbours import nearest_neighbours, working_precision
from model_zoo.graph.settings import Graph
from model_zoo.graph.weights import edge_weights, sigma_squared
from robench.errors import InputError
from robench.types import EdgeValues, Features, PointLabels, Points


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Interpolated class probabilities.

    Attributes:
        u: `(Q, C)`, every row a point of the probability simplex, not logits.
        singular: `(Q,)` bool, queries with no path to the template; their rows of u are uniform.
    """

    u: Tensor
    singular: Tensor

    @property
    def singular_count(self) -> int:
        """How many queries could not be labelled."""
        return int(self.singular.sum())


def interpolate(
    query: Features, template: Points, labels: PointLabels, *, classes: int, graph: Graph | None = None
) -> Interpolation:
    """Interpolate the template's labels to the queries in one joint graph.

    The result of one query depends on the other queries. It is differentiable, exactly, in the query features
    and (where they require it) the template features; see `gradient.py`.

    Args:
        query: features `(Q, D)`, any float type; half precision is computed in float32.
        template: features `(T, D)` on the same device.
        labels: template classes `(T,)`; every class must occur.
        classes: number of classes, C.
        graph: neighbours, kernel, mu, search and solver; the paper's by default.
    """
    graph = graph or Graph()
    lists = joint_lists(query, template, labels, classes=classes, graph=graph)
    with torch.autocast(query.device.type, enabled=False):
        weight = edge_weights(lists.distance2, sigma_squared(lists.distance2, graph.n)[:, None], graph.kernel)
        mu = graph.coupling(points=len(lists.ids), template=len(template))
        return harmonic(lists, weight, classes=classes, mu=mu, solver=graph.solver)


class Lists(NamedTuple):
    """The neighbour lists of a joint graph: queries are points 0 .. Q-1, the template Q .. N-1.

    Attributes:
        query: `(Q, D)` in working precision.
        template: `(T, D)`.
        labels: `(T,)` int64 on the same device.
        ids: `(N, m)`, every point first in its own list.
        distance2: `(N, m)` squared distances, differentiable in the points, neighbour sets held fixed.
    """

    query: Tensor
    template: Tensor
    labels: Tensor
    ids: Tensor
    distance2: Tensor


def joint_lists(
    query: Features, template: Points, labels: PointLabels, *, classes: int, graph: Graph
) -> Lists:
    """Return the neighbours of all points in the joint graph of queries `(Q, D)` and template `(T, D)`.

    Raises:
        InputError: the template cannot label all classes, features do not fit together or are not finite, or
            there are fewer than m points.
    """
    check_template(labels, classes, template)
    check_pair(query, template)
    check_points(len(query) + len(template), graph)
    labels = labels.to(query.device, torch.int64)
    dtype = torch.promote_types(query.dtype, template.dtype)
    query, template = (working_precision(part.to(dtype)) for part in (query, template))
    with torch.autocast(query.device.type, enabled=False):
        near = nearest_neighbours(torch.cat([query, template]), graph.m, search=graph.search)
        distance2 = neighbour_distances(query, template, near.ids, near.distance2)
    return Lists(query, template, labels, near.ids, distance2)


def harmonic(lists: Lists, weight: EdgeValues, *, classes: int, mu: float, solver: str) -> Interpolation:
    """Solve Eq. 5 for weights `(N, m)` of neighbour lists; mu = 0 is Laplace's equation for `S = W + W^T`."""
    if len(lists.query) == 0:
        return Interpolation(weight.new_zeros(0, classes), lists.labels.new_zeros(0, dtype=torch.bool))
    answer = HarmonicExtension.apply(weight, lists.ids, lists.labels, classes, mu, solver)
    u, singular = cast("tuple[Tensor, Tensor]", answer)
    return Interpolation(u, singular)


def check_pair(query: Features, template: Points) -> None:
    """Refuse query features that do not match those of the template."""
    check_features(query, "query")
    if query.shape[1:] != template.shape[1:] or query.device != template.device:
        raise InputError(
            expected=f"query features (Q, {template.shape[-1]}) on {template.device}, like the template's",
            got=f"{tuple(query.shape)} on {query.device}",
            do="Take both from the same layer of the same network",
        )
