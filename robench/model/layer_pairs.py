"""Pairs of directly consecutive layers that may be computed together, found by tracing a network's code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import fx, nn


def pairs(net: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Return pairs of layers in which only the second layer uses the output of the first.

    Of these kinds: a convolution and a batch-norm, a ReLU and a max-pooling.
    """
    if not any(isinstance(part, nn.BatchNorm2d | nn.MaxPool2d) for part in net.modules()):
        return []
    try:
        graph = fx.Tracer().trace(net)
    except Exception:  # noqa: BLE001 - a user's code gets symbolic values: on any error nothing is folded
        # Often control flow that depends on data: trace the parts separately.
        return [pair for child in net.children() for pair in pairs(child)]
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    attributes = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    neighbours: list[tuple[nn.Module, nn.Module]] = []
    for node in graph.nodes:
        if node.op != "call_module" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) != 1:
            continue
        names = [str(before.target), str(node.target)]
        first, second = (net.get_submodule(name) for name in names)
        if isinstance(first, nn.ReLU) and isinstance(second, nn.MaxPool2d):
            if first.inplace:  # other layers may read its input in another pass
                continue
        elif not (isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)):
            continue
        elsewhere = any(other.startswith(f"{name}.") for other in attributes for name in names)
        if all(calls[name] == 1 for name in names) and not elsewhere:
            neighbours.append((first, second))
    return neighbours


def one_place(net: nn.Module) -> Callable[[nn.Module], bool]:
    """Return a function that tells whether a layer has one name, and each of its tensors one owner."""
    names = Counter(id(part) for _, part in net.named_modules(remove_duplicate=False))
    owners = Counter(
        id(tensor)
        for part in net.modules()
        for tensor in (*part._parameters.values(), *part._buffers.values())
        if tensor is not None
    )
    places = Counter(t.data_ptr() for t in net.parameters() if t.layout is torch.strided)

    def single(layer: nn.Module) -> bool:
        tensors = [t for t in (*layer._parameters.values(), *layer._buffers.values()) if t is not None]
        mine = all(owners[id(t)] == 1 for t in tensors)
        return names[id(layer)] == 1 and mine and all(places[p.data_ptr()] == 1 for p in layer.parameters())

    return single


def plain(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Tell whether joining would skip only the two layers' own arithmetic."""
    if type(conv) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
        return False
    if norm.training or not norm.track_running_stats or norm.running_mean is None or norm.running_var is None:
        return False
    if any("forward" in layer.__dict__ for layer in (conv, norm)) or hooked(conv) or hooked(norm):
        return False
    tensors = [conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    kinds = {t.dtype for t in tensors if t is not None}
    return kinds in ({torch.float32}, {torch.float64})


def poolable(relu: nn.ReLU, pool: nn.MaxPool2d) -> bool:
    """Tell whether the result is only the largest of rectified values."""
    if type(relu) is not nn.ReLU or relu.inplace or type(pool) is not nn.MaxPool2d:
        return False
    if pool.return_indices or pool.ceil_mode:
        return False
    return not any("forward" in layer.__dict__ or hooked(layer) for layer in (relu, pool))


def hooked(layer: nn.Module) -> bool:
    """Tell whether there are hooks on this layer, or global hooks on all layers."""
    everywhere = torch.nn.modules.module
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or everywhere._global_forward_hooks
        or everywhere._global_forward_pre_hooks
        or everywhere._global_backward_hooks
        or everywhere._global_backward_pre_hooks
    )
