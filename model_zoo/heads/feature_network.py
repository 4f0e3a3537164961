"""The network under a head, from images to features, as bounds read it."""

from __future__ import annotations

from torch import Tensor, nn

from model_zoo.last_layer import SplitNetwork
from model_zoo.network import Network
from robench.bounds.layer_input import LayerInput
from robench.model.tested_network import TestedNetwork
from robench.types import Features


class FeatureNetwork(nn.Module):
    """Images to features: a network of ours without its last layer, shared and not copied."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # only the flag

    def forward(self, x: Tensor) -> Features:
        """Map images (B, C, H, W) to features (B, D)."""
        features: Features = self.network.features(x)
        return features


def feature_network(branches: TestedNetwork) -> nn.Module:
    """Return the network from images (B, C, H, W) to features (B, D); see `robench.bounds.heads`.

    Args:
        branches: a network of ours, or a user's whole network, split before its last linear layer.
    """
    network = branches.module
    if isinstance(network, SplitNetwork):
        return LayerInput(network.module, network.last, network.features)
    assert isinstance(network, Network)
    return FeatureNetwork(network)
