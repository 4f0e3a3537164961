"""Faster copies of a network, prepared for gradients with respect to images.

Parameters are frozen, batch-norm is folded into the convolution before it (in evaluation mode both together
are one convolution: Jacob et al. 2018, arXiv:1712.05877, section 3.2), ReLU and max-pooling change places,
weights of convolutions are laid out channels-last, and convolutions of many channels are computed with fewer
multiplications (`robench.model.winograd`). Start at `robench.model.prepared`, which chooses a copy and has
it proven by `robench.model.proof`.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from robench.model.compiled_copy import CompiledCopy
from robench.model.copied_views import CopiedViews
from robench.model.copy_methods import CopyMethod
from robench.model.evaluation import evaluation_mode, switch_to_evaluation
from robench.model.graphed_copy import GraphedCopy
from robench.model.layer_pairs import hooked, one_place, pairs, plain, poolable
from robench.model.network_state import NetworkState
from robench.model.rough_gradient import RoughGradient
from robench.model.torch_state import kept_torch_state
from robench.model.watched_pair import FoldedPair, PooledPair, Watch, WatchedPair
from robench.model.winograd import Convolution, LoneWinograd, Room, WinogradConvolution, applies
from robench.randomness import borrowed_global_randomness


def prepared_copy(network: nn.Module, method: CopyMethod) -> nn.Module:
    """Return a copy of a network, prepared by one of the methods; the network itself is not altered.

    Raises:
        ValueError: the network makes copies that share weights or parts with it, or CUDA graphs are asked for
            and it is not on a CUDA device.
        Exception: any error of the network's own code when it is copied.
    """
    with evaluation_mode(network):
        with torch.no_grad():  # otherwise a copied TorchScript parameter is not a leaf tensor
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
        room = Room()
        if (method.fold or method.channels_last) and not method.compiled:
            _compute_together(twin, method, room)
        if method.winograd:
            for part in twin.modules():
                if applies(part) and not hooked(part) and "forward" not in part.__dict__:
                    LoneWinograd(cast("nn.Conv2d", part), room)
        if method.copies_views:
            CopiedViews(twin)
        if method.compiled:
            CompiledCopy(twin)
        if method.graphs:
            GraphedCopy(twin)
    return RoughGradient(twin) if method.rough else twin


def _channels_last(weight: Tensor) -> Tensor:
    # Not `contiguous`: it considers a weight with one input channel as channels-last already, and then all
    # layers after the first layer of a network on grey images would be slow.
    return torch.empty_like(weight, memory_format=torch.channels_last).copy_(weight)


def _places(network: nn.Module) -> set[int]:
    tensors = (*network.parameters(), *network.buffers())
    return {t.data_ptr() for t in tensors if t.layout is torch.strided and t.numel()}


def _compute_together(net: nn.Module, method: CopyMethod, room: Room) -> None:
    """Compute pairs of directly consecutive layers together.

    Raises:
        ValueError: batch-norm is to be folded, but none directly follows a convolution.
    """
    state = NetworkState(net)
    with borrowed_global_randomness(0), kept_torch_state():
        neighbours = pairs(net)
    state.restore()  # tracing runs the network's own code on symbolic values, which the network may store
    single = one_place(net)
    joint: list[WatchedPair] = []
    for first, second in neighbours:
        if not (single(first) and single(second)):
            continue
        match first, second:
            case nn.Conv2d(), nn.BatchNorm2d() if method.fold and plain(first, second):
                joint.append(FoldedPair(first, second, _fused(first, second, method, room)))
            case nn.ReLU(), nn.MaxPool2d() if poolable(first, second):
                joint.append(PooledPair(first, second))
    if method.fold and not any(isinstance(pair, FoldedPair) for pair in joint):
        raise ValueError("no batch-norm follows a convolution alone")
    if joint:
        Watch(net, joint)


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d, method: CopyMethod, room: Room) -> Convolution:
    """Return the one convolution that does the same as both layers."""
    mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    with torch.no_grad():
        scale = (variance + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = (0 if conv.bias is None else conv.bias) - mean
        bias = shift * scale + (0 if norm.bias is None else norm.bias)
        weight = conv.weight * scale[:, None, None, None]
        if method.channels_last:
            weight = _channels_last(weight)
    if method.winograd and applies(conv):
        return WinogradConvolution(conv, weight, bias, room)
    return lambda x: cast("Tensor", conv._conv_forward(x, weight, bias))
