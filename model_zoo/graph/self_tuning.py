"""The graph learning layer (Brown et al. 2024, arXiv:2412.08016): symmetric, self-tuning weights.

`S_ij = exp(-4 d_ij^2 / (eps_i eps_j))` where i is among the k nearest of j or j among those of i, eps_i
being the distance of i to its k-th neighbour, itself counted first as in the authors' code. Labels travel
by Laplace's equation on it, with the exact adjoint through the weights and both eps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model_zoo.graph.gradient import cross_distances
from model_zoo.graph.independent import PreparedTemplate
from model_zoo.graph.interpolation import Interpolation, check_pair, harmonic, joint_lists
from model_zoo.graph.neighbours import neighbours_in, working_precision
from model_zoo.graph.settings import Graph
from model_zoo.graph.weights import edge_weights
from robench.types import Features, PointLabels, Points

_SHARPNESS = 4.0


def self_tuning(
    query: Features, template: Points, labels: PointLabels, *, classes: int, graph: Graph
) -> Interpolation:
    """Extend the template's labels to the queries in one joint graph; arguments as `interpolate`.

    Of the graph's settings m = n (the paper's k), search and solver are used. Differentiable once in the
    query and template features, neighbour sets held fixed.
    """
    lists = joint_lists(query, template, labels, classes=classes, graph=graph)
    with torch.autocast(query.device.type, enabled=False):
        scale2 = lists.distance2[:, -1]
        weight = _weights(lists.distance2, scale2[:, None], scale2[lists.ids])
        # the system adds W and W^T: an edge that both ends list is in it twice
        weight = weight.where(~_listed_by_both(lists.ids), weight / 2)
        return harmonic(lists, weight, classes=classes, mu=0.0, solver=graph.solver)


def self_tuning_independent(query: Features, prepared: PreparedTemplate) -> Interpolation:
    """Label each row of `query (Q, D)` as if it were the only one: the weighted share of its neighbours.

    By joining, a query is the new k-th neighbour of template points it is near, and sets their eps. The
    template is one prepared for a graph with n = m, the neighbour that sets eps.
    """
    check_pair(query, prepared.features)
    graph, template = prepared.graph, prepared.features
    query = working_precision(query).to(template.dtype)
    with torch.autocast(query.device.type, enabled=False):
        distance2 = cross_distances(query, template)
        near = neighbours_in(query, template, graph.m - 1, search=graph.search).ids
        own_scale2 = distance2.gather(1, near[:, -1:])
        # among the k nearest of t: in a tie the query comes first, as in the joint graph
        edge = (distance2 <= prepared.radius2).scatter(1, near, True)
        scale2 = distance2.clamp(prepared.inner2, prepared.outer2)
        weight = _weights(distance2, own_scale2, scale2).masked_fill(~edge, 0.0)
        mass = weight @ prepared.one_hot
        total = mass.sum(1, keepdim=True)
        singular = total[:, 0] == 0
        u = mass / total.masked_fill(singular[:, None], 1.0)
        return Interpolation(u.masked_fill(singular[:, None], 1 / prepared.classes), singular)


def _weights(distance2: Tensor, scale2: Tensor, other2: Tensor) -> Tensor:
    """Return the weights from squared distances and the squared eps of both ends."""
    least = torch.finfo(distance2.dtype).tiny  # keeps the root's slope finite; below it points are copies
    product = scale2.clamp_min(least).sqrt() * other2.clamp_min(least).sqrt()
    return edge_weights(distance2, product / _SHARPNESS)


def _listed_by_both(ids: Tensor) -> Tensor:
    """Return which entries `(N, m)` of the lists i -> j stand beside an entry j -> i."""
    count = len(ids)
    start = torch.arange(count, device=ids.device)[:, None].expand_as(ids)
    return torch.isin(ids * count + start, start * count + ids)
