"""The exact state of a network, and the way back to it: tensors, modes, flags, `.grad`, hooks, attributes.

A network belongs to its user. Whatever happens to it while it is measured, by its own forward, by a library
or by an attack, it is afterwards what it was before, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers as wide as a number: NaN equals itself there, and 0.0 is not -0.0."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """One parameter or buffer: the tensor, what it pointed to, and a copy of its values."""

    tensor: Tensor
    storage: Tensor
    values: Tensor
    needs_gradient: bool
    gradient: Tensor | None
    gradient_values: Tensor | None


class AsFound:
    """A network's state when this was made; see `restore`.

    What Python objects other than modules hold (closures, optimizers, lists) is not followed.

    Args:
        net: the network.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self._attributes: list[tuple[str, nn.Module, dict[str, Any], dict[str, dict[Any, Any]]]] = []
        self._tensors: dict[str, _Kept] = {}
        self._scripts: list[tuple[nn.Module, bool | None]] = []
        seen: set[int] = set()
        for name, part in net.named_modules():
            prefix = f"{name}." if name else ""
            if isinstance(part, torch.jit.ScriptModule):
                self._scripts.append((part, getattr(part, "training", None)))  # a frozen one has no mode
                named = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
            else:
                inner = {
                    key: dict(value)
                    for key, value in part.__dict__.items()
                    if key.startswith("_") and isinstance(value, dict)
                }
                self._attributes.append((prefix, part, dict(part.__dict__), inner))
                named = [*part._parameters.items(), *part._buffers.items()]
                named += [(k, v) for k, v in part.__dict__.items() if isinstance(v, Tensor)]
            for key, tensor in named:
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    self._tensors[prefix + key] = _kept(tensor)

    def changes(self) -> set[str]:
        """Return the names of the parameters, buffers and other tensors whose values are not those found."""
        found = {name for name, kept in self._tensors.items() if not _same(kept.tensor, kept.values)}
        for where, part, attributes, inner in self._attributes:
            for key in ("_parameters", "_buffers", "_modules"):
                now = part.__dict__[key]
                names = inner[key].keys() | now.keys()
                found |= {where + n for n in names if inner[key].get(n) is not now.get(n)}
            tensors = [k for k, v in attributes.items() if isinstance(v, Tensor)]
            found |= {where + k for k in tensors if part.__dict__.get(k) is not attributes[k]}
        return found

    def restore(self) -> None:
        """Make the network what it was when it was found."""
        for _, part, attributes, inner in self._attributes:
            if not _identical(part.__dict__, attributes):
                part.__dict__.clear()
                part.__dict__.update(attributes)
            for key, entries in inner.items():
                held = part.__dict__[key]
                if not _identical(held, entries):
                    held.clear()
                    held.update(entries)
        for part, training in self._scripts:
            if training is None:
                part.__dict__.pop("training", None)
            elif part.training is not training:
                part.train(training)
        for kept in self._tensors.values():
            _put_back(kept)


def _kept(tensor: Tensor) -> _Kept:
    gradient = tensor.grad if tensor.is_leaf else None
    return _Kept(
        tensor,
        tensor.detach(),
        tensor.detach().clone(),
        tensor.requires_grad,
        gradient,
        None if gradient is None else gradient.detach().clone(),
    )


def _put_back(kept: _Kept) -> None:
    tensor = kept.tensor
    moved = tensor.device != kept.storage.device or tensor.dtype != kept.storage.dtype
    if moved or not _same_place(tensor, kept.storage):
        tensor.data = kept.storage
    if not _same(kept.storage, kept.values):
        with torch.no_grad():
            kept.storage.copy_(kept.values)
    if tensor.is_leaf:
        if tensor.requires_grad is not kept.needs_gradient:
            tensor.requires_grad_(kept.needs_gradient)
        if tensor.grad is not kept.gradient:
            tensor.grad = kept.gradient
        held, values = kept.gradient, kept.gradient_values
        if held is not None and values is not None and not _same(held, values):
            with torch.no_grad():
                held.copy_(values)


def _same_place(first: Tensor, second: Tensor) -> bool:
    if first.layout is not torch.strided or second.layout is not torch.strided:
        return first.layout is second.layout
    return (
        first.data_ptr() == second.data_ptr()
        and first.shape == second.shape
        and first.stride() == second.stride()
    )


def _same(first: Tensor, second: Tensor) -> bool:
    """Tell whether two tensors hold the same bits."""
    first, second = first.detach(), second.detach()
    if first.shape != second.shape or first.dtype != second.dtype or first.device != second.device:
        return False
    if first.layout is not torch.strided or first.is_quantized or first.is_complex() or first.is_conj():
        return bool(torch.equal(first, second))
    width = _BITS.get(first.element_size())
    if width is None or first.ndim == 0:
        return bool(torch.equal(first, second)) or bool(first.isnan().all() and second.isnan().all())
    return bool(torch.equal(first.view(width), second.view(width)))


def _identical(held: dict[Any, Any], entries: dict[Any, Any]) -> bool:
    return list(held) == list(entries) and all(held[k] is v for k, v in entries.items())
