"""Reads a user's network into a graph, without touching it, and compares both before anything is claimed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from robench.bounds.functions import FUNCTIONS, IN_PLACE, METHODS
from robench.bounds.graph import Graph
from robench.bounds.layers import MODULES
from robench.bounds.reader import Reader
from robench.bounds.symbols import Batch, Ref, Unbounded, refusal
from robench.errors import ConfigError
from robench.model.evaluation import evaluation_mode
from robench.model.tested_network import TestedNetwork
from robench.types import Images

AGREEMENT = 1e-3
"""Largest difference between graph and network, relative to the largest output."""

_ENDS = (nn.LogSoftmax, nn.Softmax)
_SHARING = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
_SHAPES = {"flatten", "view", "reshape", "permute", "transpose", "squeeze", "unsqueeze"}
_VIEWS = _SHAPES | {"getitem", "contiguous", "float", "dropout", "dropout2d"}


class _Tracer(fx.Tracer):
    """Follows a forward pass and remembers in which layer it stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: str | None = None

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Go through a layer; the innermost that raises is remembered."""
        path = self.path_of_module(m)
        if _hooked(m):
            self.stopped = self.stopped or f"{path!r} ({type(m).__name__})"
            raise Unbounded("hooks, which may change what it returns")
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.stopped = self.stopped or f"{path!r} ({type(m).__name__})"
            raise


def traced(net: nn.Module, shape: tuple[int, ...]) -> Graph:
    """Read a network for images of a shape (C, H, W) in evaluation mode; it is left as it was.

    A last softmax or log-softmax is left out: it changes no sign of a margin.

    Raises:
        ConfigError: a layer has no bound; it is named.
    """
    network = net.module if isinstance(net, TestedNetwork) else net
    mapped = net.class_map if isinstance(net, TestedNetwork) else None
    tracer = _Tracer()
    with evaluation_mode(network):
        if _hooked(network):
            raise refusal(f"'' ({type(network).__name__})", "hooks, which may change what it returns")
        if type(network) in MODULES or type(network) in _ENDS:
            network = nn.Sequential(network)
        try:
            symbols = tracer.trace(network)
        except Exception as error:
            # A user's forward meets symbols here and may raise whatever it likes: it is quoted.
            layer = tracer.stopped or f"'' ({type(network).__name__})"
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise refusal(layer, f"a forward pass that cannot be followed: {lines[0][:160]}") from error
        reader = Reader(tuple(shape))
        try:
            output, ending = _read(symbols, network, reader)
            if mapped is not None:
                index = torch.tensor(mapped)
                output = reader.gathered(output, lambda t: t.index_select(1, index.to(t.device)))
        except Unbounded as error:
            raise refusal(reader.name, str(error)) from error
    graph = replace(reader.graph(output), ending=ending)
    if len(graph.nodes[graph.output].shape) != 1:
        got = f"outputs of shape {graph.nodes[graph.output].shape} for an image"
        raise ConfigError(where="network", expected="one row of class scores for an image", got=got)
    if graph.output == 0:
        raise ConfigError(where="network", expected="a network with layers", got="one without")
    return graph


def _read(symbols: fx.Graph, network: nn.Module, reader: Reader) -> tuple[Ref, str]:
    """Follow the symbols one by one and return the output, and the softmax that was left out after it."""
    known: dict[fx.Node, Any] = {}

    def value(argument: Any) -> Any:
        return fx.node.map_arg(argument, lambda node: known[node])

    ending = ""
    for node in symbols.nodes:
        if node.op == "output":
            output = value(node.args[0])
            if not isinstance(output, Ref):
                reader.name = "output"
                raise Unbounded(f"an output of type {type(output).__name__} rather than one tensor")
            return output, ending
        if node.op == "placeholder":
            if known and not node.args:
                reader.name = str(node.target)
                raise Unbounded("a network of several inputs")
            known[node] = Ref(0) if not known else node.args[0]
            continue
        if node.op == "get_attr":
            known[node] = _attribute(network, str(node.target))
            continue
        args, kwargs = value(node.args), value(node.kwargs)
        reader.name = _named(node, network)
        if ending:
            raise Unbounded("something after a softmax")
        written = _in_place(node, network, kwargs)
        if written:
            _check_alone(node, network, symbols)
        try:
            result, ending = _step(node, network, reader, args, kwargs)
        except (TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            # Arguments of kinds that no bound was written for, such as values where numbers are usual.
            raise Unbounded(f"arguments bounds do not know ({type(error).__name__}: {error})") from error
        known[node] = result
        if written:
            # What is written into is from here on what was written.
            changed = node.args[0]
            assert isinstance(changed, fx.Node)
            known[changed] = result
    raise Unbounded("a forward pass without an output")


def _step(
    node: fx.Node, network: nn.Module, reader: Reader, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, str]:
    """Take one step; return what came out, and the name of a softmax, after which only the end may come."""
    if node.op == "call_module":
        return _layer(network.get_submodule(str(node.target)), reader, args, kwargs)
    name = str(getattr(node.target, "__name__", node.target))
    if name in {"log_softmax", "softmax"}:
        axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if axis not in (1, -1):
            raise Unbounded("a softmax over another axis than the classes")
        return args[0], name
    functions: dict[Any, Callable[..., Any]] = METHODS if node.op == "call_method" else FUNCTIONS
    if not _mentions(args, Ref) and not _mentions(kwargs, Ref) and node.op == "call_function":
        if _mentions(args, Batch):
            if node.target is getattr or name == "getitem":
                return args[0][args[1]], ""
            raise Unbounded("arithmetic with the length of the batch")
        return node.target(*args, **kwargs), ""  # type: ignore[operator]
    convert = functions.get(node.target)
    if convert is None:
        raise Unbounded(f"the function `{name}`")
    if "input" in kwargs:
        args, kwargs = (kwargs["input"], *args), {k: v for k, v in kwargs.items() if k != "input"}
    try:
        inspect.signature(convert).bind(reader, *args, **kwargs)
    except TypeError as error:
        raise Unbounded(f"the function `{name}` with arguments bounds do not know: {error}") from error
    return convert(reader, *args, **kwargs), ""


def _layer(
    layer: nn.Module, reader: Reader, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, str]:
    """Take the step of a layer of torch."""
    if type(layer) in _ENDS:
        if layer.dim not in (1, -1, None):
            raise Unbounded("a softmax over another axis than the classes")
        return args[0], "softmax" if isinstance(layer, nn.Softmax) else "log_softmax"
    convert = next((MODULES[kind] for kind in type(layer).__mro__ if kind in MODULES), None)
    if convert is None or _overridden(layer):
        raise Unbounded(f"a layer of type {type(layer).__name__}")
    if layer.training:
        raise Unbounded("a layer that stays in training mode")
    if "forward" in layer.__dict__:
        raise Unbounded("a layer whose forward was replaced")
    (x,) = [*args, *kwargs.values()]
    return convert(reader, layer, x), ""


def _mentions(value: Any, kind: type) -> bool:
    if isinstance(value, kind):
        return True
    if isinstance(value, tuple | list):
        return any(_mentions(v, kind) for v in value)
    return isinstance(value, dict) and any(_mentions(v, kind) for v in value.values())


def _in_place(node: fx.Node, network: nn.Module, kwargs: dict[str, Any]) -> bool:
    if node.op == "call_module":
        return bool(getattr(network.get_submodule(str(node.target)), "inplace", False))
    positional = (
        len(node.args) > 1
        and node.args[-1] is True
        and str(getattr(node.target, "__name__", "")) in {"relu", "leaky_relu", "relu6", "hardtanh"}
    )
    return node.target in IN_PLACE or bool(kwargs.get("inplace")) or positional


def _check_alone(node: fx.Node, network: nn.Module, symbols: fx.Graph) -> None:
    """Refuse a change in place of what is also known under another name that is read later.

    A view shares its memory with what it is a view of, and so may the output of a layer that does nothing.
    """
    changed = node.args[0] if node.args else None
    if not isinstance(changed, fx.Node) or changed.op == "get_attr":
        raise Unbounded("a change in place of a constant")
    base = changed
    while _views(base, network) and base.args and isinstance(base.args[0], fx.Node):
        base = base.args[0]
    family, order = {base}, {other: place for place, other in enumerate(symbols.nodes)}
    for other in symbols.nodes:
        if other.args and other.args[0] in family and _views(other, network) and other is not node:
            family.add(other)
    for other in family - {changed}:
        if any(order[user] > order[node] for user in other.users):
            raise Unbounded("a change in place of values that are read later under another name")


def _views(node: fx.Node, network: nn.Module) -> bool:
    """Tell whether what comes out may share the memory of what goes in."""
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), _SHARING)
    return node.op in {"call_method", "call_function"} and (
        str(getattr(node.target, "__name__", node.target)) in _VIEWS
    )


def _overridden(layer: nn.Module) -> bool:
    """Tell whether a subclass computes something else than the layer it derives from."""
    for kind in type(layer).__mro__:
        if kind in MODULES:
            return False
        if "forward" in kind.__dict__ or "__call__" in kind.__dict__ or "_conv_forward" in kind.__dict__:
            return True
    return True


def _hooked(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks)


def _attribute(network: nn.Module, path: str) -> Any:
    found: Any = network
    for part in path.split("."):
        found = getattr(found, part)
    return found.detach().clone() if isinstance(found, Tensor) else found


def _named(node: fx.Node, network: nn.Module) -> str:
    if node.op == "call_module":
        layer = network.get_submodule(str(node.target))
        return f"{node.target!r} ({type(layer).__name__})"
    stack = node.meta.get("nn_module_stack")
    inside = ""
    if stack:
        path, kind = list(stack.values())[-1]
        inside = f" in {path!r} ({getattr(kind, '__name__', kind)})"
    return f"`{getattr(node.target, '__name__', node.target)}`{inside}"


@torch.no_grad()
def check_agreement(graph: Graph, net: nn.Module, x: Images) -> None:
    """Compare graph and network on images (B, C, H, W).

    Raises:
        ConfigError: they differ by more than rounding: the network does what could not be read from it.
    """
    tested = net if isinstance(net, TestedNetwork) else TestedNetwork(net)
    with evaluation_mode(tested):
        theirs = tested(x).double().cpu()
    ours = graph(x.detach().double().cpu())
    if graph.ending:
        ours = getattr(ours, graph.ending)(dim=1)
    got = ""
    if ours.shape != theirs.shape:
        got = f"{theirs.shape[1]} outputs rather than {ours.shape[1]}"
    elif not bool(torch.isfinite(theirs).all()):
        got = "outputs that are not finite"
    elif theirs.numel():
        apart = float((ours - theirs).abs().max()) / max(float(theirs.abs().max()), 1e-30)
        got = f"outputs {apart:.2g} of the largest away from that" if apart > AGREEMENT else ""
    if got:
        raise ConfigError(
            where="network",
            expected="a network that computes what its layers say",
            got=got,
            do="See docs/bounds.md: hooks, noise and changes in place cannot be bounded",
        )
