"""The properly weighted graph Laplacian (Calder & Slepcev 2019, arXiv:1810.04351).

Edges near the labelled points Gamma count more: `sum_j (gamma_q + gamma_j) S_qj (u_q - u_j) = 0`, with
`gamma(x) = 1 + (r / dist(x, Gamma))^alpha`, at most zeta, which is its value on Gamma itself. So u keeps
its boundary values continuously at any label rate, where Laplace learning forms spikes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model_zoo.graph.interpolation import Interpolation, Lists, harmonic, joint_lists
from model_zoo.graph.neighbours import nearest_neighbours, neighbours_in, working_precision
from model_zoo.graph.settings import Graph
from model_zoo.graph.weights import edge_weights, sigma_squared
from robench.errors import InputError
from robench.types import Features, PointLabels, Points


class Reach(NamedTuple):
    """How far and how strongly the labelled points weigh their surroundings up.

    Attributes:
        radius: r, in units of the features, above 0.
        alpha: the exponent, above 0; u is continuous in dimension d in the limit where alpha > d - 2.
        zeta: the largest weight gamma, above 1.
    """

    radius: float
    alpha: float = 2.0
    zeta: float = 1e7


def properly_weighted(
    query: Features, template: Points, labels: PointLabels, *, classes: int, graph: Graph, reach: Reach
) -> Interpolation:
    """Extend the template's labels to the queries in one joint graph; arguments as `interpolate`.

    Differentiable once in the query and template features, neighbour sets held fixed; `graph.mu` is not used.
    """
    lists = joint_lists(query, template, labels, classes=classes, graph=graph)
    with torch.autocast(query.device.type, enabled=False):
        gamma = _gamma(lists, reach, graph.search)
        plain = edge_weights(lists.distance2, sigma_squared(lists.distance2, graph.n)[:, None], graph.kernel)
        # relative to zeta, so that no sum is too long for float32
        weight = plain * (gamma[:, None] + gamma[lists.ids]) / reach.zeta
        return harmonic(lists, weight, classes=classes, mu=0.0, solver=graph.solver)


@torch.no_grad()
def typical_scale(template: Points, graph: Graph) -> float:
    """Return the median distance of template points `(T, D)` to their n-th neighbour, a unit for `radius`.

    Raises:
        InputError: it is zero: most points are copies of others.
    """
    near = nearest_neighbours(working_precision(template), graph.n, search=graph.search)
    scale = float(sigma_squared(near.distance2, graph.n).sqrt().median())
    if not scale > 0:
        raise InputError(
            where="template",
            expected="features that tell most template images apart",
            got=f"a median distance of 0 to the {graph.n}-th neighbour",
            do="Raise `n`, or take another layer's features",
        )
    return scale


def _gamma(lists: Lists, reach: Reach, search: str) -> Tensor:
    """Return gamma `(N,)` of all points, queries first."""
    nearest = neighbours_in(lists.query, lists.template, 1, search=search).ids[:, 0]
    distance2 = (lists.query - lists.template[nearest]).square().sum(1)
    # gamma = zeta is reached where dist = r (zeta - 1)^(-1 / alpha); nearer points get no more
    closest2 = (reach.radius * (reach.zeta - 1) ** (-1 / reach.alpha)) ** 2
    ratio2 = reach.radius**2 / distance2.clamp_min(closest2)
    at_template = lists.template.new_full((len(lists.template),), reach.zeta)
    return torch.cat([1 + ratio2 ** (reach.alpha / 2), at_template])
