"""Every way of reading one set of weights, compared with the names, shapes and numbers of a network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from model_zoo.checkpoints.beside_tensors import OwnNames, is_extra_state, is_plain_data, own_versions
from model_zoo.checkpoints.fits import Faults, Fit, Network
from model_zoo.checkpoints.key_layouts import (
    Reading,
    is_backbone_of,
    is_extra,
    readings,
    translated,
    wrappers,
)
from model_zoo.checkpoints.untrusted_weights import enumeration
from model_zoo.checkpoints.weight_sets import WeightSet

_MOST_READINGS = 256
_COUNTER = "num_batches_tracked"


def fits_of(source: WeightSet, network: Network, twins: dict[str, str], *, where: str) -> list[Fit]:
    """Return every reading of a set, with its faults."""
    ways = (
        list(islice(readings(source.tensors), _MOST_READINGS))
        if network.layouts
        else [Reading(state=source.tensors)]
    )
    fits = [_fit(source, reading, network, twins, where=where) for reading in ways]
    inside = [fit.reading.prefix for fit in fits if not fit.faults.count() and fit.reading.prefix]
    for fit in fits:
        _leave_out(fit, inside, network)
    return fits


def _fit(source: WeightSet, reading: Reading, network: Network, twins: dict[str, str], *, where: str) -> Fit:
    own, faults = network.own, Faults()
    state, notes = dict(reading.state), list[str]()
    if network.layouts:
        translation = translated(state, own, normalize=network.normalize, where=where)
        state, notes, faults.refusal = translation.state, [*translation.notes], translation.refusal
    for name, first in twins.items():
        kin = next((n for n, f in twins.items() if f == first and n in state), None)
        if name not in state and kin is not None:
            state[name] = state[kin]
    faults.missing = [name for name in own if name not in state]
    faults.unexpected = [name for name in state if name not in own]
    common = [name for name in own if name in state]
    for name in common:
        if state[name].shape != own[name].shape:
            faults.shapes.append(f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}")
        elif kind := _wrong_kind(name, state[name], own[name]):
            faults.kinds.append(kind)
    if not faults.count():
        pairs = [(name, first) for name, first in twins.items() if name != first]
        faults.tied = [f"{a} and {b}" for a, b in pairs if not equal_tensors(state[a], state[b])]
    fit = Fit(source=source, reading=reading, state=state, notes=notes, faults=faults)
    _take_others(fit, network)
    return fit


def _take_others(fit: Fit, network: Network) -> None:
    """Add the file's entries beside tensors under the network's names, and record those that do not fit."""
    state, own, faults = fit.reading.state, network.own, fit.faults
    names = OwnNames(prefix=".".join(fit.reading.prefix))
    if network.layouts:
        names = OwnNames(
            prefix=names.prefix, wrappers=wrappers(state, own), backbone=is_backbone_of(state, own)
        )
    fit.versions = own_versions(fit.source.versions, names)
    heads = {name.partition(".")[0] for name in (*own, *network.extra)}
    for name, value in fit.source.others.items():
        goal = names.of(name)
        if goal is None or goal not in (*network.extra, *network.others):
            is_known = goal is not None and ("." not in goal or goal.partition(".")[0] in heads)
            if is_known and is_extra_state(name):
                faults.unexpected.append(name)
        elif is_plain_data(value):
            fit.others[goal] = value
            fit.taken.add(name)
        elif goal in network.extra:
            faults.unread.append(name)
    unread_names = {names.of(name) for name in faults.unread}
    faults.missing += [name for name in network.extra if name not in fit.others and name not in unread_names]
    if absent := [name for name in network.others if name not in fit.others]:
        fit.notes.append(f"kept the network's own {enumeration(absent)}: the file has none to read")


def _wrong_kind(name: str, tensor: Tensor, own: Tensor) -> str:
    """Return why numbers of one kind cannot become those of another, empty if they can."""
    if (
        tensor.layout is not torch.strided
        or tensor.is_nested
        or tensor.device.type == "meta"
        or tensor.is_quantized
    ):
        kind = (
            "no numbers (saved from the meta device)" if tensor.device.type == "meta" else "no plain tensor"
        )
        return f"{name} is {'quantised' if tensor.is_quantized else kind}"
    dtype = own.dtype
    if tensor.dtype == dtype or name.endswith(_COUNTER):
        return ""
    both_float = tensor.is_floating_point() and dtype.is_floating_point
    if (
        both_float
        or (tensor.is_complex() and dtype.is_complex)
        or (tensor.ndim == 0 and not tensor.is_complex())
    ):
        return ""
    lossless = (
        not dtype.is_floating_point
        and not tensor.is_complex()
        and torch.equal(tensor.to(dtype).to(tensor.dtype), tensor)
    )
    return "" if lossless else f"{name} {_short(tensor.dtype)} instead of {_short(dtype)}"


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _leave_out(fit: Fit, inside: Sequence[tuple[str, ...]], network: Network) -> None:
    """Record known entries beside a network as notes; other entries remain faults."""
    faults, heads = fit.faults, {name.partition(".")[0] for name in network.own}
    before = "".join(f"{name}." for name in fit.reading.prefix)
    extra = {before + n: n.partition(".")[0] for n in faults.unexpected if n.partition(".")[0] not in heads}
    beside = fit.reading.beside | extra
    if not network.layouts or not beside:
        return
    sets = tuple(".".join(p) + "." for p in inside if p != fit.reading.prefix[: len(p)])
    neighbours = {
        name: module for name, module in beside.items() if name.startswith(sets) or is_extra(name, module)
    }
    faults.unexpected = [n for n in faults.unexpected if before + n not in neighbours]
    faults.unexpected += [name for name in fit.reading.beside if name not in neighbours]
    fit.state = {n: t for n, t in fit.state.items() if n in network.own or before + n not in neighbours}
    groups: dict[str, int] = {}
    for name, module in neighbours.items():
        if not name.startswith(sets):
            way = name[: len(name) - len(name.removeprefix(before))]
            at = f"{way}{module}" if name.startswith(f"{way}{module}") else module
            label = name if name.endswith(module) else f"{at}.*"
            groups[label] = groups.get(label, 0) + 1
    notes = [f"{count} keys {label}" if label.endswith("*") else label for label, count in groups.items()]
    if notes:
        fit.notes.append(f"dropped {enumeration(notes, most=12)}: not part of the network")


def equal_tensors(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are of one kind and equal, on any device."""
    return one is other or (one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu()))
