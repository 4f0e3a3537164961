"""Saves and restores the exact state of a network: tensors, modes, flags, `.grad`, hooks, attributes.

A network belongs to its user. Any change during the measurement, by its own forward, by a library or by an
attack, is undone afterwards, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robench.model.module_search import all_modules
from robench.model.plain_state import PlainState

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers of the same width as a float: as integers, NaN equals itself and 0.0 differs from -0.0."""


@dataclass(frozen=True, slots=True)
class _TensorState:
    """One parameter or buffer: the tensor, its storage, and a copy of its values."""

    tensor: Tensor
    storage: Tensor
    values: Tensor
    needs_gradient: bool
    gradient: Tensor | None
    gradient_values: Tensor | None


class NetworkState:
    """A network's state at the creation of this object; see `restore`.

    It includes entries of lists, dicts, sets, deques and NumPy arrays in attributes of its modules
    (`robench.model.plain_state`), up to a size; attributes of other objects are not followed.
    Modules in plain lists, objects and functions among its attributes count like registered ones.

    Args:
        net: the network.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self._attributes: list[tuple[str, nn.Module, dict[str, Any], dict[str, dict[Any, Any]]]] = []
        self._tensors: dict[str, _TensorState] = {}
        self._scripts: list[tuple[nn.Module, bool | None]] = []
        parts = all_modules(net)
        self._plain = PlainState()
        ids: set[int] = set()
        self.parts = tuple(parts.values())
        for name, part in parts.items():
            prefix = f"{name}." if name else ""
            tensors: list[tuple[str, Tensor | None]]
            if isinstance(part, torch.jit.ScriptModule):
                self._scripts.append((part, getattr(part, "training", None)))  # a frozen one has no mode
                tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
            else:
                inner = {
                    key: dict(value)
                    for key, value in part.__dict__.items()
                    if key.startswith("_") and isinstance(value, dict)
                }
                self._attributes.append((prefix, part, dict(part.__dict__), inner))
                self._plain.add(part)
                tensors = [*part._parameters.items(), *part._buffers.items()]
                tensors += [(k, v) for k, v in part.__dict__.items() if isinstance(v, Tensor)]
            for key, tensor in tensors:
                if tensor is not None and id(tensor) not in ids:
                    ids.add(id(tensor))
                    self._tensors[prefix + key] = _tensor_state(tensor)
        inside = {id(tensor): tensor for tensor in self._plain.tensors if id(tensor) not in ids}
        self._inside = [_tensor_state(tensor) for tensor in inside.values()]

    def changes(self) -> set[str]:
        """Return the names of the parameters, buffers and other tensors whose values have changed."""
        changes = {name for name, state in self._tensors.items() if not _same(state.tensor, state.values)}
        for where, part, attributes, inner in self._attributes:
            for key in ("_parameters", "_buffers", "_modules"):
                before, now = inner[key], part.__dict__[key]
                changes |= {where + n for n in before.keys() | now.keys() if before.get(n) is not now.get(n)}
            tensors = [k for k, v in attributes.items() if isinstance(v, Tensor)]
            changes |= {where + k for k in tensors if part.__dict__.get(k) is not attributes[k]}
        return changes

    def restore(self) -> None:
        """Restore the saved state of the network."""
        for _, part, attributes, inner in self._attributes:
            if not _identical(part.__dict__, attributes):
                part.__dict__.clear()
                part.__dict__.update(attributes)
            for key, entries in inner.items():
                now = part.__dict__[key]
                if not _identical(now, entries):
                    now.clear()
                    now.update(entries)
        for part, training in self._scripts:
            if training is None:
                part.__dict__.pop("training", None)
            elif part.training is not training:
                part.train(training)
        for state in (*self._tensors.values(), *self._inside):
            _put_back(state)
        self._plain.restore()


def _tensor_state(tensor: Tensor) -> _TensorState:
    gradient = tensor.grad if tensor.is_leaf else None
    return _TensorState(
        tensor,
        tensor.detach(),
        tensor.detach().clone(),
        tensor.requires_grad,
        gradient,
        None if gradient is None else gradient.detach().clone(),
    )


def _put_back(state: _TensorState) -> None:
    tensor = state.tensor
    is_elsewhere = tensor.device != state.storage.device or tensor.dtype != state.storage.dtype
    if is_elsewhere or not _same_place(tensor, state.storage):
        tensor.data = state.storage
    if not _same(state.storage, state.values):
        with torch.no_grad():
            state.storage.copy_(state.values)
    if tensor.is_leaf:
        if tensor.requires_grad is not state.needs_gradient:
            tensor.requires_grad_(state.needs_gradient)
        if tensor.grad is not state.gradient:
            tensor.grad = state.gradient
        gradient, values = state.gradient, state.gradient_values
        if gradient is not None and values is not None and not _same(gradient, values):
            with torch.no_grad():
                gradient.copy_(values)


def _same_place(first: Tensor, second: Tensor) -> bool:
    if first.layout is not torch.strided or second.layout is not torch.strided:
        return first.layout is second.layout
    return (
        first.data_ptr() == second.data_ptr()
        and first.shape == second.shape
        and first.stride() == second.stride()
    )


def _same(first: Tensor, second: Tensor) -> bool:
    """Tell whether two tensors have the same bits."""
    first, second = first.detach(), second.detach()
    if first.shape != second.shape or first.dtype != second.dtype or first.device != second.device:
        return False
    if first.layout is not torch.strided or first.is_quantized or first.is_complex() or first.is_conj():
        return bool(torch.equal(first, second))
    width = _BITS.get(first.element_size())
    if width is None or first.ndim == 0:
        return bool(torch.equal(first, second)) or bool(first.isnan().all() and second.isnan().all())
    return bool(torch.equal(first.view(width), second.view(width)))


def _identical(now: dict[Any, Any], entries: dict[Any, Any]) -> bool:
    return list(now) == list(entries) and all(now[k] is v for k, v in entries.items())
