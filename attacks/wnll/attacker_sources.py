"""Gradient sources of an attacker for a classifier by neighbours, beyond those that its model offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from robench.model.interface import GradientSource, Model, Neighbourhood
    from robench.types import Features, Images, Labels, Outputs

LAST = "exact"
"""The most expensive source (an adjoint solve per step), whose gradient is zero where u is saturated. It is
used last, when the other sources have moved the images to points where its gradient is not zero."""


def sources_of(model: Model, temperatures: Sequence[float]) -> list[GradientSource]:
    """Return every source worth attacking through, cheap ones first.

    They are the model's own and, for a classifier by neighbours, `neighbours` and the kernel density at
    further temperatures.

    Args:
        model: the model under attack.
        temperatures: of the kernel, beside the model's own.
    """
    sources = [source for name, source in model.sources.items() if name != LAST]
    if model.neighbourhood is not None:
        sources += [kernel(model.neighbourhood, tau) for tau in temperatures]
        sources.append(neighbours(model.neighbourhood, model.classes))
    return sources + [source for name, source in model.sources.items() if name == LAST]


def kernel(around: Neighbourhood, tau: float) -> GradientSource:
    """Return the kernel density of every class at a temperature; larger looks farther."""

    def score(z: Outputs) -> Outputs:
        return around.density(z, tau)

    return _source(around, f"kernel {tau:g}", score)


def neighbours(around: Neighbourhood, classes: int) -> GradientSource:
    """Return minus the mean squared distance to the nearest remembered images of every class.

    In a graph the majority of the `reach` nearest neighbours decides, so many images of another class have to
    become nearer than those of the own class: the loss pulls the features to the one group and pushes them
    away from the other, at any distance. After Sitawarin & Wagner 2019 (arXiv:1903.08333), section 3, and
    2020 (arXiv:2003.06559), section 4, who move towards the mean, and then towards several, of the nearest
    training points of another class; AdvKnn (arXiv:1911.06591) and the search through higher-order Voronoi
    cells (arXiv:2011.09719) follow the same geometry.
    """

    def score(z: Outputs) -> Outputs:
        return neighbour_scores(around, z, classes)

    return _source(around, "neighbours", score)


def neighbour_scores(around: Neighbourhood, z: Features, classes: int) -> Outputs:
    """Return the class scores (B, K) of features (B, D), in units of the nearest class's distance.

    A class without template images has minus infinity.
    """
    import torch

    memory = around.memory()
    points = memory.points.to(z.dtype)
    centre = points.mean(dim=0)  # a shared offset would only add cancellation
    z, points = z - centre, points - centre
    squares = z.square().sum(1, keepdim=True) + points.square().sum(1) - 2 * z @ points.T
    count = (around.reach + 1) // 2
    means = []
    for label in range(classes):
        own = squares[:, memory.labels == label]
        if own.shape[1] == 0:
            means.append(torch.full_like(squares[:, 0], torch.inf))
            continue
        means.append(own.topk(min(count, own.shape[1]), dim=1, largest=False).values.mean(dim=1))
    mean = torch.stack(means, dim=1)
    scale = mean.detach().amin(dim=1, keepdim=True).clamp_min(torch.finfo(mean.dtype).tiny)
    return -mean / scale


def nearest_classes(around: Neighbourhood, x: Images, y: Labels, classes: int) -> Int[Tensor, "B others"]:
    """Return the classes other than y (B, K - 1), nearest first in feature space."""
    import torch

    with torch.no_grad():
        score = neighbour_scores(around, around.features(x), classes)
    return score.scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True)[:, : classes - 1]


def _source(around: Neighbourhood, name: str, score: Callable[[Outputs], Outputs]) -> GradientSource:
    from robench.model.interface import GradientSource, OutputKind

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        z = around.features(x)
        return score(z), around.classify(z.detach(), None)

    return GradientSource(name, surrogate, OutputKind.LOGITS)
