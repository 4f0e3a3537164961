"""The joint protocol (the paper's): all queries and the template share one graph, Eq. 5 is solved once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from model_zoo.graph.coverage import check_features, check_points, check_template
from model_zoo.graph.gradient import JointInterpolation
from model_zoo.graph.neighbours import working_precision
from model_zoo.graph.settings import Graph
from robench.errors import InputError


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
    query: Tensor, template: Tensor, labels: Tensor, *, classes: int, graph: Graph | None = None
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
    check_template(labels, classes, template)
    check_pair(query, template)
    check_points(len(query) + len(template), graph)
    if len(query) == 0:
        return Interpolation(query.new_zeros(0, classes), labels.new_zeros(0, dtype=torch.bool))
    labels = labels.to(query.device, torch.int64)
    dtype = torch.promote_types(query.dtype, template.dtype)
    points = (working_precision(part.to(dtype)) for part in (query, template))
    with torch.autocast(query.device.type, enabled=False):
        answer = JointInterpolation.apply(*points, labels, classes, graph)
    u, singular = cast("tuple[Tensor, Tensor]", answer)
    return Interpolation(u, singular)


def check_pair(query: Tensor, template: Tensor) -> None:
    """Refuse query features that do not fit the template's."""
    check_features(query, "query")
    if query.shape[1:] != template.shape[1:] or query.device != template.device:
        raise InputError(
            expected=f"query features (Q, {template.shape[-1]}) on {template.device}, like the template's",
            got=f"{tuple(query.shape)} on {query.device}",
            do="Take both from the same layer of the same network",
        )
