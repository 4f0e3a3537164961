"""Finds names in a forward pass that share memory, so that an in-place change is followed or refused.

An in-place change affects every name of the memory. Names of the changed tensor itself mean the result from
then on. Its views, and the tensor that it is a view of, cannot be followed: reading them later is refused.
An operation is assumed to share memory with its inputs unless it is known to make new values.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from robench.bounds.symbols import Unbounded

AUGMENTED = {
    f"__{name}__": getattr(operator, name)
    for name in (
        "iadd",
        "isub",
        "imul",
        "itruediv",
        "ifloordiv",
        "imod",
        "ipow",
        "imatmul",
        "iand",
        "ior",
        "ixor",
        "ilshift",
        "irshift",
    )
}
"""Python's assignments that change a tensor, such as `h += x`, by method name."""

_FRESH_LAYERS = (
    nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.Hardtanh,
    nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
)  # fmt: skip
_FRESH_FUNCTIONS = {
    F.linear, F.conv2d, F.batch_norm, F.relu, torch.relu, F.leaky_relu, F.relu6, F.hardtanh, torch.clamp,
    torch.maximum, torch.minimum, F.max_pool2d, F.adaptive_max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d,
    torch.mean, torch.sum, torch.cat, torch.add, torch.sub, torch.mul, torch.div, torch.neg,
    torch.clone,     operator.add, operator.sub, operator.mul, operator.truediv, operator.neg,
}  # fmt: skip
_FRESH_METHODS = {
    "relu", "clamp", "clamp_min", "clamp_max", "maximum", "minimum", "mean", "sum", "add", "sub", "mul",
    "div", "neg", "clone",
}  # fmt: skip


class Symbol(fx.Proxy):
    """A symbolic value that also records assignments, which `fx.Proxy` treats as plain arithmetic."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse an assignment such as `h.data = x`."""
        if name not in {"node", "tracer"}:
            raise Unbounded(f"an assignment to the attribute `{name}`")
        object.__setattr__(self, name, value)

    def __setitem__(self, place: Any, value: Any) -> None:
        """Refuse an assignment such as `h[:, 0] = x`."""
        raise Unbounded("an assignment to items")

    def __delitem__(self, place: Any) -> None:
        """Refuse `del h[0]`."""
        raise Unbounded("a deletion of items")


def _noted(operation: Any) -> Any:
    def method(self: Symbol, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})

    return method


for _name, _operation in AUGMENTED.items():
    setattr(Symbol, _name, _noted(_operation))


class Aliases:
    """The names of each memory, while a forward pass is followed from its beginning.

    Args:
        symbols: the traced forward pass.
        network: the network.
    """

    def __init__(self, symbols: fx.Graph, network: nn.Module) -> None:
        self._network = network
        self._order = {node: place for place, node in enumerate(symbols.nodes)}
        self._shared: dict[fx.Node, set[fx.Node]] = {}
        self._same: dict[fx.Node, set[fx.Node]] = {}

    def add(self, node: fx.Node, sources: Iterable[fx.Node]) -> None:
        """Add a name; unless its operation makes new values, it shares memory with its sources."""
        self._shared[node], self._same[node] = {node}, {node}
        if self._fresh(node):
            return
        for source in sources:
            self._join(self._shared, node, source)

    def written(self, node: fx.Node) -> fx.Node | None:
        """Return the name whose values the operation of a node changes, None if it changes none.

        Raises:
            Unbounded: the changed tensor is unknown.
        """
        if "out" in node.kwargs:
            raise Unbounded("an `out` argument, which changes another tensor")
        if not self._in_place(node):
            return None
        target = node.args[0] if node.args else node.kwargs.get("input")
        if not isinstance(target, fx.Node):
            raise Unbounded("an in-place change of something that is not a tensor of the forward pass")
        return target

    def write(self, node: fx.Node, changed: fx.Node) -> set[fx.Node]:
        """Return all names of a tensor that the operation of a node changes, including the node itself.

        Raises:
            Unbounded: a constant is changed, or values that are read later through a view.
        """
        if any(other.op == "get_attr" for other in self._shared[changed]):
            raise Unbounded("a change in place of a constant")
        now = self._order[node]
        for other in self._shared[changed] - self._same[changed]:
            if any(self._order[user] >= now for user in other.users):
                raise Unbounded("a change in place of values that are read later under another name")
        self._shared.setdefault(node, {node})
        self._same.setdefault(node, {node})
        self._join(self._shared, node, changed)
        self._join(self._same, node, changed)
        return self._same[changed]

    @staticmethod
    def _join(sets: dict[fx.Node, set[fx.Node]], one: fx.Node, other: fx.Node) -> None:
        both = sets[one] | sets[other]
        for node in both:
            sets[node] = both

    def _fresh(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            layer = self._network.get_submodule(str(node.target))
            return isinstance(layer, _FRESH_LAYERS) and not getattr(layer, "inplace", False)
        if node.op == "call_method":
            return node.target in _FRESH_METHODS
        return node.op == "call_function" and node.target in _FRESH_FUNCTIONS and not self._in_place(node)

    def _in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self._network.get_submodule(str(node.target)), "inplace", False))
        name = str(getattr(node.target, "__name__", node.target))
        if name.endswith("_") and not name.endswith("__"):
            return True
        if node.op == "call_method":
            return name in AUGMENTED
        if node.target in AUGMENTED.values() or node.kwargs.get("inplace"):
            return True
        try:
            arguments = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return False  # a function written in C: none of them has the parameter `inplace`
        return bool(arguments.arguments.get("inplace"))
