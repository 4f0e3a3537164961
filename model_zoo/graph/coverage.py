"""Checks of a template: whether it contains every class, and how large a random one must be (Theorem 2)."""

from __future__ import annotations

import math

import torch

from model_zoo.graph.settings import Graph
from robench.errors import InputError
from robench.types import PointLabels, Points


def expected_template_size(classes: int) -> float:
    """Return `C (1 + 1/2 + ... + 1/C)`: random draws from balanced classes until all are seen (Theorem 2).

    Example:
        >>> expected_template_size(2)
        3.0
    """
    return classes * math.fsum(1 / k for k in range(1, classes + 1))


def check_template(labels: PointLabels, classes: int, features: Points | None = None) -> None:
    """Refuse a template that cannot label the `classes` classes.

    Args:
        labels: class of each template point, `(T,)` integers, not one-hot rows.
        classes: number of classes, C.
        features: the template's features `(T, D)`, if they should be checked too.
    """
    if labels.ndim != 1 or labels.dtype.is_floating_point or labels.dtype in (torch.bool, torch.complex64):
        raise InputError(
            expected="template labels as class numbers (T,)",
            got=f"{tuple(labels.shape)} of {labels.dtype}",
            do="Pass labels.argmax(1) if they are one-hot",
        )
    outside = (labels < 0) | (labels >= classes)
    if bool(outside.any()):
        examples = sorted(set(labels[outside].tolist()))[:8]
        raise InputError(
            expected=f"template labels between 0 and {classes - 1}",
            got=f"labels {examples}",
            do="Check `classes`",
        )
    missing = (torch.bincount(labels, minlength=classes) == 0).nonzero()[:, 0].tolist()
    if missing:
        names = ", ".join(map(str, missing[:20])) + (", ..." if len(missing) > 20 else "")
        raise InputError(
            expected=f"a template holding all {classes} classes",
            got=f"{len(labels)} points without class {names}",
            do=f"Draw more; on average {expected_template_size(classes):.0f} random points hold every class",
        )
    if features is not None:
        check_features(features, "template")
        if len(features) != len(labels):
            raise InputError(
                expected="one label per template point", got=f"{len(features)} points, {len(labels)} labels"
            )


def check_features(features: Points, what: str) -> None:
    """Refuse features that are not a finite `(N, D)` matrix of floats."""
    if features.ndim != 2 or not features.dtype.is_floating_point:
        raise InputError(
            expected=f"{what} features (N, D) of a float type",
            got=f"{tuple(features.shape)} of {features.dtype}",
            do="Flatten each image's features",
        )
    if not bool(torch.isfinite(features).all()):
        raise InputError(
            expected=f"finite {what} features",
            got=f"{int((~torch.isfinite(features)).any(1).sum())} rows with NaN or infinity",
            do="Check the network and its input",
        )


def check_points(points: int, graph: Graph) -> None:
    """Refuse a graph with fewer points than the number of neighbours of each point."""
    if graph.m > points:
        raise InputError(
            expected=f"at least m = {graph.m} points in the graph (queries and template)",
            got=f"{points}",
            do="Lower m or enlarge the template",
        )
