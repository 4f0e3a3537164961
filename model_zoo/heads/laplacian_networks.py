"""The graph heads after WNLL as modules: how each extends labels from the template to images."""

from __future__ import annotations

from typing import Any

from model_zoo.graph.independent import PreparedTemplate
from model_zoo.graph.interpolation import Interpolation
from model_zoo.graph.p_laplace import p_laplace
from model_zoo.graph.poisson import poisson, poisson_independent
from model_zoo.graph.properly_weighted import Reach, properly_weighted, typical_scale
from model_zoo.graph.self_tuning import self_tuning, self_tuning_independent
from model_zoo.heads.graph_network import GraphNetwork
from robench.errors import ConfigError
from robench.types import Features, PointLabels, Points


class JointNetwork(GraphNetwork):
    """A graph network of heads that equal another head if an image is alone with the template."""

    def alone(self, query: Features, template: PreparedTemplate) -> Interpolation:
        """Refuse to classify images alone; the recipe refuses that earlier, with the name of the option.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(expected="the protocol `joint`", got="images alone with the template")


class ProperlyWeightedNetwork(JointNetwork):
    """Images to class probabilities by the properly weighted Laplacian; see `GraphNetwork`.

    Args:
        branches: features and linear branch.
        radius: r in units of the template's typical scale.
        alpha: exponent of the weights.
        zeta: their largest value.
        options: what `GraphNetwork` takes.
    """

    def __init__(self, branches: Any, *, radius: float, alpha: float, zeta: float, **options: Any) -> None:
        super().__init__(branches, **options)
        scale = typical_scale(self.points[0], self.graph)
        self.radius, self.alpha, self.zeta = radius * scale, alpha, zeta

    def together(self, query: Features, template: Points, labels: PointLabels) -> Interpolation:
        """Extend labels in one graph with the template."""
        reach = Reach(self.radius, self.alpha, self.zeta)
        return properly_weighted(query, template, labels, classes=self.classes, graph=self.graph, reach=reach)


class SelfTuningNetwork(GraphNetwork):
    """Images to class probabilities by Laplace's equation on self-tuning weights; see `GraphNetwork`."""

    def together(self, query: Features, template: Points, labels: PointLabels) -> Interpolation:
        """Extend labels in one graph with the template."""
        return self_tuning(query, template, labels, classes=self.classes, graph=self.graph)

    def alone(self, query: Features, template: PreparedTemplate) -> Interpolation:
        """Extend labels to each query by the closed form of a graph with one query."""
        return self_tuning_independent(query, template)


class PoissonNetwork(GraphNetwork):
    """Images to scores by the Poisson equation; see `GraphNetwork`."""

    def together(self, query: Features, template: Points, labels: PointLabels) -> Interpolation:
        """Solve in one graph with the template."""
        return poisson(query, template, labels, classes=self.classes, graph=self.graph)

    def alone(self, query: Features, template: PreparedTemplate) -> Interpolation:
        """Solve one graph for each query."""
        return poisson_independent(query, template)


class PLaplaceNetwork(JointNetwork):
    """Images to class probabilities by the game-theoretic p-Laplacian; see `GraphNetwork`.

    Args:
        branches: features and linear branch.
        p: the exponent.
        options: what `GraphNetwork` takes.
    """

    def __init__(self, branches: Any, *, p: float, **options: Any) -> None:
        super().__init__(branches, **options)
        self.p = p

    def together(self, query: Features, template: Points, labels: PointLabels) -> Interpolation:
        """Extend labels in one graph with the template."""
        return p_laplace(query, template, labels, classes=self.classes, graph=self.graph, p=self.p)
