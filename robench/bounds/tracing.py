"""Reads a user's network into a graph, without changing it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from robench.bounds.aliases import Symbol
from robench.bounds.graph import Graph
from robench.bounds.layer_input import LayerInput, end_before, last_linear
from robench.bounds.layers import MODULES
from robench.bounds.reader import Reader
from robench.bounds.steps import ENDS, followed
from robench.bounds.symbols import Ref, Unbounded, refusal
from robench.errors import ConfigError
from robench.model.evaluation import evaluation_mode
from robench.model.tested_network import TestedNetwork


class _Tracer(fx.Tracer):
    """Traces a forward pass and remembers the layer in which it stopped.

    Args:
        last: a layer that is not looked into; None for none.
    """

    def __init__(self, last: nn.Module | None = None) -> None:
        super().__init__()
        self.stopped: str | None = None
        self._last = last

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a layer is one step: PyTorch's own are, and the one before which reading ends."""
        return m is self._last or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return a symbol that also records assignments."""
        return Symbol(node, self)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trace a layer; the innermost one that raises is remembered."""
        path = self.path_of_module(m)
        if _hooked(m):
            self.stopped = self.stopped or f"{path!r} ({type(m).__name__})"
            raise Unbounded("hooks, which may change what it returns")
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.stopped = self.stopped or f"{path!r} ({type(m).__name__})"
            raise


def traced(net: nn.Module, shape: tuple[int, ...], *, features: bool = False) -> Graph:
    """Read a network for images of a shape (C, H, W) in evaluation mode; its state is restored.

    A final softmax or log-softmax is left out: it does not change the sign of a margin. Of a `LayerInput` its
    network is read, up to what the layer gets.

    Args:
        net: the network.
        shape: (C, H, W) of the images.
        features: whether to read up to the linear layer that runs last, if one runs.

    Raises:
        ConfigError: a layer has no bound; it is named.
    """
    last = net.layer if isinstance(net, LayerInput) else None
    whole = net.network if isinstance(net, LayerInput) else net
    network = whole.module if isinstance(whole, TestedNetwork) else whole
    # A class map chooses among outputs, not among features.
    class_map = whole.class_map if isinstance(whole, TestedNetwork) and last is None else None
    tracer, top = _Tracer(last), f"'' ({type(network).__name__})"
    if _hooked(network):
        raise refusal(top, "hooks, which may change what it returns")
    if {"forward", "_call_impl"} & network.__dict__.keys() or type(
        network
    ).__call__ is not nn.Module.__call__:
        raise refusal(top, "a network whose forward or call was replaced")
    with evaluation_mode(network) as state:
        if type(network) in MODULES or type(network) in ENDS:
            network = nn.Sequential(network)
        before = _generators()
        try:
            symbols = tracer.trace(network)
            last = last_linear(symbols, network) if features else last
            if last is not None:
                end_before(symbols, network, last)
        except Unbounded as error:
            raise refusal(tracer.stopped or top, str(error)) from error
        except Exception as error:
            # A user's forward gets symbolic values here and may raise any error: the message quotes it.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            got = f"a forward pass that cannot be followed: {lines[0][:160]}"
            raise refusal(tracer.stopped or top, got) from error
        reader = Reader(tuple(shape))
        try:
            output, ending = followed(symbols, network, reader)
            if class_map is not None:
                output = _mapped(reader, output, class_map)
        except Unbounded as error:
            raise refusal(reader.name, str(error)) from error
        # Values that a forward pass only stores, such as its features, do not matter.
        attributes = {str(node.target) for node in symbols.nodes if node.op == "get_attr"}
        tensors = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
        changes = sorted(state.changes() & (attributes | tensors))
        if changes:
            got = f"a forward pass that changes the network's own {', '.join(changes[:3])}"
            raise refusal(top, got)
        if _generators() != before:
            raise refusal(top, "a forward pass that draws random numbers")
    graph = replace(reader.graph(output), ending=ending)
    if len(graph.nodes[graph.output].shape) != 1:
        got = f"outputs of shape {graph.nodes[graph.output].shape} for an image"
        raise ConfigError(where="network", expected="one row of class scores for an image", got=got)
    if graph.output == 0:
        raise ConfigError(where="network", expected="a network with layers", got="one without")
    return graph


def _mapped(reader: Reader, output: Ref, class_map: tuple[int, ...]) -> Ref:
    """Append the choice of the outputs that stand for classes."""
    shape = reader.shape_of(output)
    if len(shape) != 1 or max(class_map) >= shape[0]:
        reader.name = "output"
        raise Unbounded(f"outputs of shape {shape}, from which class {max(class_map)} is to be taken")
    index = torch.tensor(class_map)
    return reader.gathered(output, lambda t: t.index_select(1, index.to(t.device)))


def _generators() -> tuple[object, ...]:
    """Return the states of the global generators."""
    numbers = np.random.get_state()  # noqa: NPY002 - to see whether a network draws from it
    return random.getstate(), str(numbers), bytes(torch.get_rng_state().numpy())


def _hooked(layer: nn.Module) -> bool:
    every = nn.modules.module._global_forward_hooks, nn.modules.module._global_forward_pre_hooks
    return bool(layer._forward_hooks or layer._forward_pre_hooks or any(every))
