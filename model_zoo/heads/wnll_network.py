"""The WNLL head as a module: features of a network, interpolated from templates (docs/graph-heads.md)."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from model_zoo.graph.carried import Linear
from model_zoo.graph.independent import PreparedTemplate, interpolate_independent
from model_zoo.graph.interpolation import Interpolation, interpolate
from model_zoo.graph.interval_vote import share_margins, vote_margins
from model_zoo.heads.graph_network import GraphNetwork
from model_zoo.network import Network
from robench.errors import ConfigError
from robench.types import Features, Labels, Outputs, PointLabels, Points, Values


class FeatureNetwork(nn.Module):
    """Images to features: a network without its last layer, shared and not copied."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # only the flag

    def forward(self, x: Values) -> Features:
        """Map images (B, C, H, W) to features (B, D)."""
        features: Features = self.network.features(x)
        return features


def _on_the_cpu(template: PreparedTemplate) -> PreparedTemplate:
    return replace(
        template,
        features=template.features.cpu(),
        labels=template.labels.cpu(),
        one_hot=template.one_hot.cpu(),
        radius2=template.radius2.cpu(),
        inner2=template.inner2.cpu(),
        outer2=template.outer2.cpu(),
    )


class WNLLNetwork(GraphNetwork):
    """Images to class probabilities u by Eq. 5, every row a point of the simplex; see `GraphNetwork`.

    With the graph's mu "none" it is Laplace learning.
    """

    def together(self, query: Features, template: Points, labels: PointLabels) -> Interpolation:
        """Interpolate in one graph with the template."""
        return interpolate(query, template, labels, classes=self.classes, graph=self.graph)

    def alone(self, query: Features, template: PreparedTemplate) -> Interpolation:
        """Interpolate by the closed form of a graph with one query."""
        return interpolate_independent(query, template)

    def feature_network(self) -> nn.Module:
        """Return the network from images (B, C, H, W) to features (B, D); see `robench.bounds.heads`.

        Raises:
            ConfigError: images share a graph, or the network is not of the zoo (hooks read its features).
        """
        network = self.branches.module
        if self.joint or not isinstance(network, Network):
            raise ConfigError(
                where="head",
                expected="`protocol: independent` or `voting`, over a network of the zoo",
                got="a joint graph" if self.joint else f"features inside of {type(network).__name__}",
                do="Bounds need features that each image has for itself",
            )
        return FeatureNetwork(network)

    @property
    def slack(self) -> float:
        """What a bound of a margin must exceed: weights are computed in float32."""
        return 1e-3

    def margins_over(self, low: Features, high: Features, y: Labels, linear: Linear | None = None) -> Outputs:
        """Return lower bounds (B, K) of u_y minus each other u over boxes of features (B, D), float64."""
        margins = [
            share_margins(low, high, y, _on_the_cpu(template), linear=linear) for template in self.prepared
        ]
        return margins[0] if len(margins) == 1 else vote_margins(margins, y, self.rule)
