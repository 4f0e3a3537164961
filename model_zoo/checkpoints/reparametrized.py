"""Weights stored in parts: those of weight normalisation and pruning are combined, others are named."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

State = dict[str, Tensor]

_OLD, _NEW = ("{}_g", "{}_v"), ("parametrizations.{}.original0", "parametrizations.{}.original1")
"""Length and direction, of torch.nn.utils.weight_norm and of torch.nn.utils.parametrizations.weight_norm."""
_LENGTH = re.compile(r"^(?P<before>.*\.)?(?:(?P<old>\w+)_g|parametrizations\.(?P<new>\w+)\.original0)$")
_PRUNED = re.compile(r"^(?P<before>.*\.)?(?P<name>\w+)_mask$")

_FOREIGN = (
    (
        re.compile(r"(^|\.)_packed_params(\.|$)"),
        "quantised weights",
        "Give the weights from before the quantisation: integers have no gradients to attack through",
    ),
    (
        re.compile(r"(^|\.)_?flat_param"),
        "flattened pieces of weights, as FSDP keeps them",
        "Save them whole: StateDictType.FULL_STATE_DICT",
    ),
    (
        re.compile(r"(^|\.)parametrizations\.|(^|\.)weight_(orig|u)$"),
        "parametrized weights, which only the parametrization itself can put together",
        "Before saving, call torch.nn.utils.parametrize.remove_parametrizations (or remove_spectral_norm), "
        "or build the network with the same parametrization",
    ),
    (
        re.compile(r"(^|\.)lora_[AB](\.|$)"),
        "low-rank adaptations (LoRA) beside the weights",
        "Merge them into the weights before saving",
    ),
)


def put_together(state: State, own: Mapping[str, Tensor]) -> tuple[State, list[str]]:
    """Return weights of weight normalisation and pruning in the network's form, and notes on the changes.

    Salimans & Kingma 2016, arXiv:1602.07868: w = g v / ||v||, the norm taken over all axes but the one along
    which g has its numbers. A network that has the parts itself gets them, under its own names.
    """
    weights, norm_count, mask_count = dict(state), 0, 0
    for name in state:
        match = _LENGTH.match(name)
        if match is None or name in own:
            continue
        before, weight = match["before"] or "", match["old"] or match["new"]
        parts = _OLD if match["old"] else _NEW
        length, direction = (before + part.format(weight) for part in parts)
        other = [before + part.format(weight) for part in (_NEW if match["old"] else _OLD)]
        if direction not in state:
            continue
        if all(part in own for part in other):
            weights[other[0]], weights[other[1]] = weights.pop(length), weights.pop(direction)
        elif before + weight in own and before + weight not in state:
            whole = _weight_norm(state[direction], state[length], own[before + weight].shape)
            if whole is not None:
                del weights[length], weights[direction]
                weights[before + weight] = whole
                norm_count += 1
    for name in state:
        match = _PRUNED.match(name)
        if match is None or name in own:
            continue
        whole_name = (match["before"] or "") + match["name"]
        original = state.get(f"{whole_name}_orig")
        if (
            original is None
            or whole_name not in own
            or whole_name in state
            or not original.shape == state[name].shape == own[whole_name].shape
            or not (is_plain(original) and is_plain(state[name]))
            or state[name].is_complex()
        ):
            continue
        del weights[name], weights[f"{whole_name}_orig"]
        weights[whole_name] = original * state[name].to(original.dtype)
        mask_count += 1
    notes = [f"put {norm_count} weights of weight normalisation together"] if norm_count else []
    return weights, notes + (
        [f"multiplied {mask_count} pruned weights with their masks"] if mask_count else []
    )


def is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is dense and of a number type with which torch can compute, as weights are."""
    has_strides = tensor.layout is torch.strided and not tensor.is_nested
    return has_strides and tensor.device.type != "meta" and not tensor.is_quantized


def _weight_norm(direction: Tensor, length: Tensor, shape: torch.Size) -> Tensor | None:
    """Return the weight, None if the two do not belong together or do not have this shape."""
    if not (is_plain(direction) and is_plain(length)) or direction.dtype != length.dtype:
        return None
    # torch divides by the number of elements, and crashes the process if it is zero.
    if direction.shape != shape or not direction.numel() or not direction.is_floating_point():
        return None
    axes = [-1] if length.ndim == 0 else range(direction.ndim)
    for axis in axes:
        goal = tuple(n if d == axis else 1 for d, n in enumerate(direction.shape))
        if length.ndim == 0 or tuple(length.shape) == goal:
            return torch._weight_norm(direction, length, axis)
    return None


def foreign(state: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return the kind of weights that do not fit a plain network, and what to do; None if unknown."""
    if names := [name for name, tensor in state.items() if tensor.is_quantized]:
        return f"quantised weights ({names[0]})", _FOREIGN[0][2]
    for pattern, what, do in _FOREIGN:
        if names := [name for name in state if pattern.search(name)]:
            return f"{what} ({names[0]})", do
    return None
