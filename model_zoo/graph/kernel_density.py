"""The `kernel` gradient source: class scores that still have a gradient where u is saturated.

If all neighbours of a query have one label, u is a one-hot row and its exact gradient is zero. The
log-density of every class over the *whole* template, with the query's own scale, still has a useful gradient.
"""

from __future__ import annotations

import torch

from model_zoo.graph.coverage import check_template
from model_zoo.graph.interpolation import check_pair
from model_zoo.graph.neighbours import neighbours_in, working_precision
from model_zoo.graph.weights import sigma_squared
from robench.errors import InputError
from robench.types import Features, Outputs, PerSample, PointLabels, Points


def query_scale(query: Features, template: Points, n: int) -> PerSample:
    """Return each query's own `sigma^2 (Q,)` among the template, itself counted first; differentiable."""
    index = neighbours_in(query, template, n - 1).ids
    farthest = template[index[:, -1:]]
    return sigma_squared((query[:, None] - farthest).square().sum(-1), 1)


def class_log_density(
    query: Features,
    template: Points,
    labels: PointLabels,
    *,
    classes: int,
    n: int = 15,
    tau: float = 1.0,
    detach_scale: bool = True,
) -> Outputs:
    """Return `log sum_{t: y_t = c} exp(-|z - z_t|^2 / (tau sigma^2))` as `(Q, C)`, usable as logits.

    Args:
        query: features `(Q, D)`.
        template: features `(T, D)`.
        labels: template classes `(T,)`; every class must occur.
        classes: number of classes, C.
        n: the neighbour that sets the query's sigma, the query itself counted first.
        tau: temperature; with a larger one farther points count more.
        detach_scale: treat sigma as a constant of the query, for an attacker who wants a direction (the
            default). False differentiates through it: then the gradient is that of the returned value.
    """
    check_template(labels, classes, template)
    check_pair(query, template)
    if not tau > 0:
        raise InputError(expected="a temperature tau above 0", got=f"{tau}")
    if not 2 <= n <= len(template) + 1:
        raise InputError(expected=f"n between 2 and {len(template) + 1}", got=f"{n}")
    query, template = working_precision(query), working_precision(template)
    labels = labels.to(template.device)
    with torch.autocast(query.device.type, enabled=False):
        scale = query_scale(query, template, n)
        scale = scale.detach() if detach_scale else scale
        centre = template.mean(0)
        z, points = query - centre, template - centre
        # below the rounding of the product form a scale is noise; 0 (duplicates) would divide by zero
        info = torch.finfo(points.dtype)
        scale = scale.clamp_min(info.eps * points.detach().square().sum(1).max() + info.tiny)[:, None]
        scores = []
        for c in range(classes):
            member = points[labels == c]
            distance2 = torch.addmm(member.square().sum(1), z, member.T, alpha=-2)
            scores.append(torch.logsumexp(-distance2 / (tau * scale), dim=1))
        # |z|^2 is common to all classes of a query: added once, after the sums over points
        return torch.stack(scores, dim=1) - z.square().sum(1, keepdim=True) / (tau * scale)
