"""Follows the traced operations of a forward pass one by one, and writes them into a graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from robench.bounds.aliases import Aliases
from robench.bounds.functions import FUNCTIONS, METHODS
from robench.bounds.layers import MODULES
from robench.bounds.reader import Reader
from robench.bounds.symbols import Batch, Ref, Unbounded

ENDS = {nn.LogSoftmax: "log_softmax", nn.Softmax: "softmax"}
"""Layers that may come last, because they do not change the sign of a margin."""

_END_FUNCTIONS = {
    F.softmax: "softmax",
    torch.softmax: "softmax",
    F.log_softmax: "log_softmax",
    torch.log_softmax: "log_softmax",
}
_END_METHODS = {"softmax", "log_softmax"}


@dataclass(frozen=True, slots=True)
class _Ended:
    """The values of a node after a softmax, which must be the last operation."""

    before: Ref
    name: str


def followed(symbols: fx.Graph, network: nn.Module, reader: Reader) -> tuple[Ref, str]:
    """Follow a forward pass; return its output, and the name of the final softmax that was left out.

    Raises:
        Unbounded: a step has no bound; the reader's name is that of the step.
    """
    values: dict[fx.Node, Any] = {}
    aliases = Aliases(symbols, network)

    def value(argument: Any) -> Any:
        return fx.node.map_arg(argument, lambda node: values[node])

    for node in symbols.nodes:
        if node.op == "output":
            return _output(reader, value(node.args[0]))
        if node.op in {"placeholder", "get_attr"}:
            values[node] = _given(node, network, reader, first=not values)
            aliases.add(node, ())
            continue
        args, kwargs = value(node.args), value(node.kwargs)
        reader.name = _named(node, network)
        if _mentions((args, kwargs), _Ended):
            raise Unbounded("something after a softmax")
        sources = [other for other in node.all_input_nodes if _mentions(values[other], (Ref, Tensor))]
        target = aliases.written(node)
        if target is not None and isinstance(values[target], Tensor):
            raise Unbounded("a change in place of a constant")
        names = {node}
        if target is not None and target in sources:
            names = aliases.write(node, target)
        else:  # a number that is counted up, as by `n += 1`, is a new number
            aliases.add(node, sources)
        try:
            result = _step(node, network, reader, args, kwargs)
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
            # Arguments that bounds do not support, such as tensors instead of numbers.
            raise Unbounded(f"arguments bounds do not know ({type(error).__name__}: {error})") from error
        for name in names:
            values[name] = result
    raise Unbounded("a forward pass without an output")


def _output(reader: Reader, output: Any) -> tuple[Ref, str]:
    if isinstance(output, _Ended):
        return output.before, output.name
    if not isinstance(output, Ref):
        reader.name = "output"
        raise Unbounded(f"an output of type {type(output).__name__} rather than one tensor")
    return output, ""


def _given(node: fx.Node, network: nn.Module, reader: Reader, *, first: bool) -> Any:
    """Return the images, another argument's default, or a constant of the network."""
    if node.op == "get_attr":
        return _attribute(network, str(node.target))
    if first:
        return Ref(0)
    if not node.args:
        reader.name = str(node.target)
        raise Unbounded("a network of several inputs")
    return node.args[0]


def _step(
    node: fx.Node, network: nn.Module, reader: Reader, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Add one operation; return its result."""
    if node.op == "call_module":
        return _layer(network.get_submodule(str(node.target)), reader, args, kwargs)
    name = str(getattr(node.target, "__name__", node.target))
    if "input" in kwargs:
        args, kwargs = (kwargs["input"], *args), {k: v for k, v in kwargs.items() if k != "input"}
    if node.target in _END_FUNCTIONS or (node.op == "call_method" and name in _END_METHODS):
        return _ended(reader, name, *args, **kwargs)
    functions: dict[Any, Callable[..., Any]] = METHODS if node.op == "call_method" else FUNCTIONS
    if not _mentions((args, kwargs), Ref) and node.op == "call_function":
        if _mentions((args, kwargs), Batch):
            if node.target is getattr or name == "getitem":
                return args[0][args[1]]
            raise Unbounded("arithmetic with the length of the batch")
        return node.target(*args, **kwargs)  # type: ignore[operator]
    convert = functions.get(node.target)
    if convert is None:
        raise Unbounded(f"the function `{name}`")
    try:
        inspect.signature(convert).bind(reader, *args, **kwargs)
    except TypeError as error:
        raise Unbounded(f"the function `{name}` with arguments bounds do not know: {error}") from error
    return convert(reader, *args, **kwargs)


def _layer(layer: nn.Module, reader: Reader, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Add the operation of a layer of PyTorch."""
    if type(layer) in ENDS:
        if _replaced(layer):
            raise Unbounded("a layer whose forward was replaced")
        (x,) = [*args, *kwargs.values()]
        axis = 1 if layer.dim is None else layer.dim  # PyTorch's default for rows of scores
        return _ended(reader, ENDS[type(layer)], x, dim=axis)
    convert = next((MODULES[kind] for kind in type(layer).__mro__ if kind in MODULES), None)
    if convert is None or _overridden(layer):
        raise Unbounded(f"a layer of type {type(layer).__name__}")
    if layer.training:
        raise Unbounded("a layer that stays in training mode")
    if _replaced(layer):
        raise Unbounded("a layer whose forward was replaced")
    (x,) = [*args, *kwargs.values()]
    return convert(reader, layer, x)


def _ended(
    reader: Reader, name: str, x: Ref, dim: Any = None, *, dtype: Any = None, _stacklevel: int = 3
) -> _Ended:
    """Note a softmax over the classes."""
    if dim not in (1, -1) or len(reader.shape_of(x)) != 1:
        raise Unbounded("a softmax over another axis than the classes")
    if dtype not in (None, torch.float32, torch.float64):
        raise Unbounded(f"a softmax in {dtype}, where classes may be tied")
    return _Ended(x, name)


def _mentions(value: Any, kind: type | tuple[type, ...]) -> bool:
    if isinstance(value, kind):
        return True
    if isinstance(value, tuple | list):
        return any(_mentions(v, kind) for v in value)
    if isinstance(value, slice):
        return _mentions((value.start, value.stop, value.step), kind)
    return isinstance(value, dict) and any(_mentions(v, kind) for v in value.values())


def _replaced(layer: nn.Module) -> bool:
    return any(name in layer.__dict__ for name in ("forward", "_conv_forward", "_call_impl"))


def _overridden(layer: nn.Module) -> bool:
    """Tell whether a subclass computes something else than the layer it derives from."""
    for kind in type(layer).__mro__:
        if kind in MODULES:
            return False
        if "forward" in kind.__dict__ or "__call__" in kind.__dict__ or "_conv_forward" in kind.__dict__:
            return True
    return True


def _attribute(network: nn.Module, path: str) -> Any:
    value: Any = network
    for part in path.split("."):
        value = getattr(value, part)
    return value.detach().clone() if isinstance(value, Tensor) else value


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
