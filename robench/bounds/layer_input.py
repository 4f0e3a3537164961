"""A network up to a layer inside it, such as the features under the last layer of a user's classifier."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, fx, nn

from robench.bounds.symbols import Unbounded
from robench.types import Features, Images


class LayerInput(nn.Module):
    """Images (B, C, H, W) to the input (B, D) of a layer of a network, which is shared and not copied.

    `robench.bounds.tracing.traced` reads the network itself and ends where the layer begins.

    Args:
        network: the whole network.
        layer: a layer inside it; if it runs several times, the last time counts.
        features: images to the input of the layer, as the network itself computes it.
    """

    def __init__(self, network: nn.Module, layer: nn.Module, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        # Neither is registered: the weights are listed once, under `network`.
        self._layer, self._features = [layer], [features]
        self.training = network.training  # only the flag

    @property
    def layer(self) -> nn.Module:
        """The layer whose input is the output here."""
        return self._layer[0]

    def forward(self, x: Images) -> Features:
        """Map images (B, C, H, W) to the input (B, D) of the layer."""
        return self._features[0](x)


def end_before(symbols: fx.Graph, network: nn.Module, layer: nn.Module) -> None:
    """Let a traced forward pass return the input of a layer in place of its output.

    What runs afterwards stays in the pass: it may change the input in place.

    Args:
        symbols: the traced forward pass; it is changed.
        network: the network.
        layer: a layer inside it; if it runs several times, the last time counts.

    Raises:
        Unbounded: the layer does not run, or not on one tensor.
    """
    calls = [node for node, part in _layers(symbols, network) if part is layer]
    inputs = [*calls[-1].args, *calls[-1].kwargs.values()] if calls else []
    if len(inputs) != 1 or not isinstance(inputs[0], fx.Node):
        raise Unbounded(f"a last layer ({type(layer).__name__}) that is not called with one tensor")
    output = next(node for node in symbols.nodes if node.op == "output")
    output.args = (inputs[0],)


def last_linear(symbols: fx.Graph, network: nn.Module) -> nn.Linear | None:
    """Return the linear layer that runs last in a traced forward pass; None if none runs."""
    linears = [layer for _, layer in _layers(symbols, network) if isinstance(layer, nn.Linear)]
    return linears[-1] if linears else None


def _layers(symbols: fx.Graph, network: nn.Module) -> list[tuple[fx.Node, nn.Module]]:
    """Return every call of a layer, in order, with the layer."""
    calls = [node for node in symbols.nodes if node.op == "call_module"]
    return [(node, network.get_submodule(str(node.target))) for node in calls]
