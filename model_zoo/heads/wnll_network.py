"""The WNLL head as a module: features of a network, interpolated from templates (docs/graph-heads.md)."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from model_zoo.graph.carried import Linear
from model_zoo.graph.independent import PreparedTemplate, interpolate_independent
from model_zoo.graph.interpolation import Interpolation, interpolate
from model_zoo.graph.interval_vote import share_margins, vote_margins
from model_zoo.heads.feature_network import feature_network
from model_zoo.heads.graph_network import GraphNetwork
from robench.errors import ConfigError
from robench.types import Features, Labels, Outputs, PointLabels, Points


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
            ConfigError: images share a graph.
        """
        if self.joint:
            expected, do = (
                "`protocol: independent` or `voting`",
                "Bounds need images that are classified alone",
            )
            raise ConfigError(where="head", expected=expected, got="a joint graph", do=do)
        return feature_network(self.branches)

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
