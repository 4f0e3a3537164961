"""Copies of a network that answer faster, prepared for gradients with respect to images.

Parameters are frozen, batch-norm is folded into the convolution before it (in evaluation mode both together
are one convolution: Jacob et al. 2018, arXiv:1712.05877, section 3.2), weights of convolutions are laid out
channels-last. Start at `robench.model.prepared`, which chooses a copy and has it proven by
`robench.model.proof`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn

from robench.model.evaluation import evaluation_mode
from robench.model.folded_pair import FoldedPair, Watch
from robench.model.global_state import kept_torch_state
from robench.model.modes import switch_to_evaluation
from robench.model.network_state import NetworkState
from robench.randomness import borrowed_global_randomness


@dataclass(frozen=True, slots=True)
class CopyMethod:
    """How a copy of a network is made faster: what is done to a plain one."""

    name: str
    fold: bool = False
    channels_last: bool = False


COPY_METHODS = (
    CopyMethod("folded, channels-last", fold=True, channels_last=True),
    CopyMethod("folded", fold=True),
    CopyMethod("channels-last", channels_last=True),
    CopyMethod("frozen copy"),
)
"""The copies that are tried, fastest first; after them comes the network as it is."""


def prepared_copy(network: nn.Module, method: CopyMethod) -> nn.Module:
    """Return a copy of a network, prepared by one of the methods; the network itself is not altered.

    Raises:
        ValueError: the network makes copies that share weights or parts with it.
        Exception: whatever the network's own code raises when it is copied.
    """
    with evaluation_mode(network):
        with torch.no_grad():  # else a copied TorchScript parameter is the result of an operation, no leaf
            twin = copy.deepcopy(network)
        parts = {id(part) for part in network.modules()} & {id(part) for part in twin.modules()}
        overlap = _places(network) & _places(twin)
        if parts or overlap:
            raise ValueError("the network's copy shares weights with it")
        switch_to_evaluation(twin)
        for parameter in twin.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        if method.channels_last:
            for part in twin.modules():
                if isinstance(part, nn.Conv2d | nn.ConvTranspose2d) and not part.weight.is_sparse:
                    part.weight.data = _channels_last(part.weight)
        if method.fold and not _fold(twin, channels_last=method.channels_last):
            raise ValueError("no batch-norm follows a convolution alone")
    return twin


def _channels_last(weight: Tensor) -> Tensor:
    # Not `contiguous`: it takes a weight with one input channel for channels-last as it is, and the first
    # layer of a network on grey images would send everything after it the slow way.
    return torch.empty_like(weight, memory_format=torch.channels_last).copy_(weight)


def _places(network: nn.Module) -> set[int]:
    tensors = (*network.parameters(), *network.buffers())
    return {t.data_ptr() for t in tensors if t.layout is torch.strided and t.numel()}


def _fold(net: nn.Module, *, channels_last: bool) -> int:
    """Fold every batch-norm that follows a convolution and nothing else; return how many."""
    state = NetworkState(net)
    with borrowed_global_randomness(0), kept_torch_state():
        pairs = _pairs(net)
    state.restore()  # tracing runs the network's own code on symbols, which it may keep
    single = _one_place(net)
    twins = [
        FoldedPair(conv, norm, *_fused(conv, norm, channels_last=channels_last))
        for conv, norm in pairs
        if single(conv) and single(norm) and _plain(conv, norm)
    ]
    Watch(net, twins)
    return len(twins)


def _one_place(net: nn.Module) -> Callable[[nn.Module], bool]:
    """Return a test whether a layer has one name, and each of its tensors one owner."""
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


def _plain(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Tell whether nothing but the two layers' own arithmetic would be skipped."""
    if type(conv) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
        return False
    if norm.training or not norm.track_running_stats or norm.running_mean is None or norm.running_var is None:
        return False
    if any("forward" in layer.__dict__ for layer in (conv, norm)) or _hooked(conv) or _hooked(norm):
        return False
    tensors = [conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    kinds = {t.dtype for t in tensors if t is not None}
    return kinds in ({torch.float32}, {torch.float64})


def _hooked(layer: nn.Module) -> bool:
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


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d, *, channels_last: bool) -> tuple[Tensor, Tensor]:
    mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    with torch.no_grad():
        scale = (variance + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = (0 if conv.bias is None else conv.bias) - mean
        bias = shift * scale + (0 if norm.bias is None else norm.bias)
        weight = conv.weight * scale[:, None, None, None]
        return _channels_last(weight) if channels_last else weight, bias


def _pairs(net: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return the (convolution, batch-norm) pairs of which the first feeds the second and nothing else."""
    if not any(isinstance(part, nn.BatchNorm2d) for part in net.modules()):
        return []
    try:
        graph = fx.Tracer().trace(net)
    except Exception:  # noqa: BLE001 - a user's code meets symbols here: whatever it raises, nothing is folded
        # Often control flow that depends on data: look at the parts on their own.
        return [pair for child in net.children() for pair in _pairs(child)]
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    attributes = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    pairs = []
    for node in graph.nodes:
        if node.op != "call_module" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) != 1:
            continue
        names = [str(before.target), str(node.target)]
        conv, norm = (net.get_submodule(name) for name in names)
        if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        elsewhere = any(other.startswith(f"{name}.") for other in attributes for name in names)
        if all(calls[name] == 1 for name in names) and not elsewhere:
            pairs.append((conv, norm))
    return pairs
