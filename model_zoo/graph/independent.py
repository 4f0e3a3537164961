"""The independent protocol: each query alone with the template, all queries of a batch at once.

With Q = 1, Eq. 5 has a closed form: `u_q = sum_t (W_qt + (1 + mu) W_tq) G_t / sum_t (W_qt + (1 + mu) W_tq)`.
`W_qt` runs over the m - 1 template points nearest to q (q itself counts first). `W_tq` is non-zero where q is
among the m nearest of t once it joins the graph: not farther than t's present m-th neighbour. By joining, q
also moves sigma_t: the n-th distance of t becomes `clamp(d_tq, d_(n-1), d_n)` of its present distances.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from model_zoo.graph.coverage import check_points, check_template
from model_zoo.graph.interpolation import Interpolation, check_pair
from model_zoo.graph.neighbours import nearest_neighbours, neighbours_in, working_precision
from model_zoo.graph.search import within
from model_zoo.graph.settings import Graph
from model_zoo.graph.weights import edge_weights, sigma_squared
from robench.types import Features, PointLabels, Points


@dataclass(frozen=True, slots=True)
class PreparedTemplate:
    """A template with the values that a new query needs. Made by `prepare_template`; without a gradient.

    Attributes:
        features: `(T, D)`.
        labels: `(T,)` int64.
        one_hot: `(T, C)`.
        classes: number of classes, C.
        graph: the graph's settings.
        radius2: `(T,)` squared distance to each point's m-th neighbour in the template, itself first.
        inner2: `(T,)` squared distance to its (n-1)-th neighbour.
        outer2: `(T,)` squared distance to its n-th neighbour: its sigma^2 as long as no query is nearer.
    """

    features: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    one_hot: Tensor = field(repr=False)
    classes: int
    graph: Graph
    radius2: Tensor = field(repr=False)
    inner2: Tensor = field(repr=False)
    outer2: Tensor = field(repr=False)


@torch.no_grad()
def prepare_template(
    template: Points, labels: PointLabels, *, classes: int, graph: Graph | None = None
) -> PreparedTemplate:
    """Return the template `(T, D)` with labels `(T,)`, ready for `interpolate_independent`."""
    graph = graph or Graph()
    check_template(labels, classes, template)
    check_points(len(template) + 1, graph)
    template = working_precision(template.detach())
    labels = labels.to(template.device, torch.int64)
    distance2 = nearest_neighbours(template, min(graph.m, len(template)), search=graph.search).distance2
    if graph.m > len(template):  # a query would be in every list
        distance2 = torch.cat([distance2, distance2.new_full((len(template), 1), torch.inf)], dim=1)
    one_hot = torch.nn.functional.one_hot(labels, classes).to(template.dtype)
    inner2, outer2 = (sigma_squared(distance2, n).clone() for n in (graph.n - 1, graph.n))
    radius2 = distance2[:, graph.m - 1].clone()
    return PreparedTemplate(template, labels, one_hot, classes, graph, radius2, inner2, outer2)


def interpolate_independent(query: Features, prepared: PreparedTemplate) -> Interpolation:
    """Interpolate the template's labels to each row of `query (Q, D)` as if it were the only one.

    Equals the joint protocol with Q = 1 and does not depend on the batch; differentiable in the query (the
    neighbour sets held fixed). A query is never singular: its own template neighbours set its scale.
    """
    check_pair(query, prepared.features)
    graph, template = prepared.graph, prepared.features
    singular = torch.zeros(len(query), dtype=torch.bool, device=query.device)
    query = working_precision(query).to(template.dtype)
    with torch.autocast(query.device.type, enabled=False):
        mu = graph.coupling(points=len(template) + 1, template=len(template))
        near = neighbours_in(query, template, graph.m - 1, search=graph.search).ids
        outward2 = (query[:, None] - template[near]).square().sum(-1)
        outward = edge_weights(outward2, sigma_squared(outward2, graph.n - 1)[:, None], graph.kernel)
        q, t, inward2 = _inward(query, prepared)
        scale2 = inward2.clamp(prepared.inner2[t], prepared.outer2[t])
        inward = (1 + mu) * edge_weights(inward2, scale2, graph.kernel)
        mass = torch.einsum("qk,qkc->qc", outward, prepared.one_hot[near])
        mass = mass.index_add(0, q, inward[:, None] * prepared.one_hot[t])
        return Interpolation(mass / mass.sum(1, keepdim=True), singular)


def _inward(query: Tensor, template: PreparedTemplate) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pairs (q, t) with q among the m nearest of t, and their differentiable squared distances."""
    q, t = within(query.detach(), template.features, template.radius2)
    distance2 = (query[q] - template.features[t]).square().sum(-1)
    inside = (
        distance2.detach() <= template.radius2[t]
    )  # in a tie the query comes first, as in the joint graph
    return q[inside], t[inside], distance2[inside]
