"""Voting: several disjoint template batches interpolate the same queries, and the results are combined."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model_zoo.graph.coverage import check_template
from model_zoo.graph.independent import PreparedTemplate, interpolate_independent
from model_zoo.graph.interpolation import Interpolation, interpolate
from model_zoo.graph.settings import Graph
from robench.errors import InputError
from robench.types import Features, PointLabels, Points, RowNumbers

RULES = ("majority", "mean")


def combine(rows: Sequence[Interpolation], rule: str = "majority") -> Interpolation:
    """Combine K interpolations of the same Q queries into one.

    Args:
        rows: one interpolation per template.
        rule: "mean" averages u. "majority" counts one vote per template (paper) and adds the mean of u as one
            more, shared vote: it never outweighs a whole vote, decides ties, and carries the gradient.
            A template for which the largest entries tie casts no vote.

    Returns:
        `u (Q, C)` on the simplex; a query is singular if it is so for every template.
        A template that cannot label a query casts no vote for it.
    """
    if rule not in RULES:
        raise InputError(expected="a voting rule: majority or mean", got=repr(rule))
    if not rows:
        raise InputError(expected="at least one template", got="none", do="Pass one or more templates")
    u = torch.stack([row.u for row in rows])
    singular = torch.stack([row.singular for row in rows])
    able = (~singular).to(u.dtype)[..., None]
    count = able.sum(0)
    mean = torch.where(count > 0, (u * able).sum(0) / count.clamp_min(1), 1 / u.shape[-1])
    if rule == "majority":
        first = u == u.amax(-1, keepdim=True)
        votes = (first * (first.sum(-1, keepdim=True) == 1) * able).sum(0)
        mean = (votes + mean) / (count + 1)
    return Interpolation(mean, singular.all(0))


def vote(
    query: Features,
    templates: Sequence[tuple[Points, PointLabels]],
    *,
    classes: int,
    graph: Graph | None = None,
    rule: str = "majority",
) -> Interpolation:
    """Vote in the joint protocol, one graph per template `(features (T, D), labels (T,))`."""
    rows = [
        interpolate(query, features, labels, classes=classes, graph=graph) for features, labels in templates
    ]
    return combine(rows, rule)


def vote_independent(
    query: Features, templates: Sequence[PreparedTemplate], *, rule: str = "majority"
) -> Interpolation:
    """Vote in the independent protocol, with each prepared template in turn."""
    return combine([interpolate_independent(query, template) for template in templates], rule)


def disjoint_templates(
    labels: PointLabels, size: int, count: int, *, classes: int, generator: torch.Generator
) -> list[RowNumbers]:
    """Draw `count` disjoint random template batches of `size` points, each holding every class.

    Args:
        labels: classes of the points to draw from, `(P,)`.
        size: points per batch.
        count: number of batches.
        classes: number of classes, C.
        generator: the source of randomness, on the CPU.

    Returns:
        `count` index vectors `(size,)` into `labels`, with classes in proportion to the whole, rounded.
    """
    if size * count > len(labels):
        raise InputError(expected=f"at least {size * count} points to draw from", got=f"{len(labels)}")
    order = torch.randperm(len(labels), generator=generator)
    permutation = labels.cpu()[order]
    place = torch.empty(len(labels), dtype=torch.float64)
    for c in range(classes):  # spread every class evenly over the order, so that each stretch has its share
        members = (permutation == c).nonzero()[:, 0]
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        place[members] = (torch.arange(len(members), dtype=torch.float64) + start) / max(1, len(members))
    order = order[place.argsort(stable=True)]
    batches = [order[start : start + size] for start in range(0, size * count, size)]
    for batch in batches:
        check_template(labels.cpu()[batch], classes)
    return batches
