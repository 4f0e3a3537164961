"""Which of a file's weights are a network's: every way of reading them is tried, one that fits is taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model_zoo.checkpoints.beside_tensors import (
    OwnNames,
    Versions,
    is_extra_state,
    is_plain_data,
    own_versions,
    same_data,
)
from model_zoo.checkpoints.cards import described
from model_zoo.checkpoints.key_layouts import (
    Reading,
    State,
    is_backbone_of,
    is_extra,
    readings,
    statistics_of_another,
    translated,
    wrappers,
)
from model_zoo.checkpoints.reparametrized import foreign
from model_zoo.checkpoints.untrusted_weights import TO_TENSORS, enumeration
from model_zoo.checkpoints.weight_sets import Contents, WeightSet, rank
from robench.errors import CheckpointError
from robench.plan.key_path import Step, key_text

_MOST_SETS = 64
"""Of more sets the largest are tried."""
_MOST_READINGS = 256
_COUNTER = "num_batches_tracked"


@dataclass(slots=True, kw_only=True)
class Faults:
    """Why weights do not fit: names, and a normalisation that is refused."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    tied: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    refusal: CheckpointError | None = None

    def count(self) -> int:
        """Return how many there are."""
        lists = (self.missing, self.unexpected, self.shapes, self.kinds, self.tied, self.unread)
        return sum(map(len, lists)) + (self.refusal is not None)

    def text(self) -> str:
        """Return them as parts of a sentence."""
        groups = (
            ("missing keys", self.missing),
            ("unexpected keys", self.unexpected),
            ("wrong shapes", self.shapes),
            ("wrong kinds of number", self.kinds),
            ("one tensor in the network, two in the file", self.tied),
            ("extra state that is no plain data", self.unread),
        )
        return "; ".join(f"{label}: {enumeration(names, most=12)}" for label, names in groups if names)


@dataclass(slots=True, kw_only=True)
class Fit:
    """Weights under a network's names, where they came from, and what is wrong with them."""

    source: WeightSet
    reading: Reading
    state: State
    notes: list[str]
    faults: Faults
    others: dict[str, Any] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    versions: Versions | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The way to them, as a key."""
        return (*self.source.steps, *self.reading.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is loaded.

    Attributes:
        state: name to tensor, under the network's names.
        notes: what a reader must know of it, one sentence part each.
        others: extra state of modules and what else is no tensor, under the network's names.
        versions: module to what its class wrote of its version; None where the file tells none.
        key: where in the file it was, if other weights of the file would have fitted too; else empty.
    """

    state: State
    notes: tuple[str, ...]
    others: Mapping[str, Any] = field(default_factory=dict)
    versions: Versions | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What a network says of the weights it takes.

    Attributes:
        own: its state_dict, the tensors alone, without extra state.
        extra: names of the extra state that its modules take.
        others: names of what else of its state_dict is no tensor.
        normalize: (mean, standard deviation) in front of it, None for none.
        layouts: whether other names than its own may become its own.
    """

    own: Mapping[str, Tensor]
    extra: Collection[str] = ()
    others: Collection[str] = ()
    normalize: tuple[Tensor, Tensor] | None
    layouts: bool

    def twins(self) -> dict[str, str]:
        """Return the name of each tensor to the first name of the same tensor, as tied weights have two."""
        first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
        return {
            name: first.setdefault((t.data_ptr(), tuple(t.shape), t.stride()), name)
            if t.numel() and t.device.type != "meta"
            else name
            for name, t in self.own.items()
        }


def best_fit(contents: Contents, network: Network, *, path: Path, key: bool) -> Selection:
    """Return the weights of a file that are a network's.

    Of several that fit, those whose way has no name of an average, a teacher or another epoch come first,
    then the order of `weight_sets.FIRST`, then that of the file.

    Args:
        contents: all sets of weights in the file, or in the part that the user chose.
        network: what takes them.
        path: the file.
        key: whether the user chose a part.

    Raises:
        CheckpointError: none fits; says what is wrong with the one that comes closest.
    """
    twins = network.twins()
    sets = sorted(contents.sets, key=lambda s: (s.joined, *rank(s.steps)))
    if len(sets) > _MOST_SETS:
        sets = sorted(sets, key=lambda s: -len(s.tensors))[:_MOST_SETS]
    fits: list[Fit] = []
    for is_joint in (False, True):
        if not any(fit.faults.count() == 0 for fit in fits):
            for source in (s for s in sets if s.joined == is_joint):
                fits += _fits(source, network, twins, where=str(path))
    good = [fit for fit in fits if not fit.faults.count()]
    if not good:
        raise _refusal(fits, contents, network, path)
    order = {id(fit): place for place, fit in enumerate(good)}
    good.sort(key=lambda fit: (*rank(fit.steps), order[id(fit)]))
    best, *others = good
    for above in contents.sets:
        if not above.joined and above.steps == best.source.steps[: len(above.steps)] != best.source.steps:
            refusal = statistics_of_another(above.tensors, network.normalize, where=str(path))
            if refusal is not None and network.layouts:
                raise refusal
    rivals = [fit for fit in others if not _same(fit, best)]
    notes = [*best.notes]
    if rivals:
        keys = [f"`key: {key_text(fit.steps)}`" for fit in rivals]
        place = f"under `{key_text(best.steps)}`" if best.steps else "at the top of the file"
        notes.insert(
            0, f"took the weights {place}; the file has others that fit: {' or '.join(keys)} takes them"
        )
    within = {s.steps[len(best.source.steps)] for s in contents.sets if len(s.steps) > len(best.source.steps)}
    if others_than_tensors := [name for name in _left_out(best) if name not in within]:
        notes.append(f"left out what is no tensor: {enumeration(others_than_tensors)}")
    fitting = {fit.source.steps for fit in good}
    strangers = [
        key_text(s.steps)
        for s in contents.sets
        if not s.joined
        and s.steps not in fitting
        and s.steps[: len(best.steps)] != best.steps
        and any(name.endswith("weight") for name in s.tensors)
    ]
    if strangers and not best.source.joined:
        notes.append(f"left out the weights under {enumeration(strangers)}: they do not fit this network")
    if best.source.is_malformed:
        notes.append("ignored the versions of modules in the file: they are not of torch's form")
    return Selection(
        state=best.state,
        notes=tuple(notes),
        others=best.others,
        versions=best.versions,
        key=key_text(best.steps) if rivals or key else "",
    )


def _fits(source: WeightSet, network: Network, twins: dict[str, str], *, where: str) -> list[Fit]:
    """Return every reading of a set, with what is wrong with each."""
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
        faults.tied = [f"{a} and {b}" for a, b in pairs if not _equal(state[a], state[b])]
    fit = Fit(source=source, reading=reading, state=state, notes=notes, faults=faults)
    _take_others(fit, network)
    return fit


def _take_others(fit: Fit, network: Network) -> None:
    """Take what the file has beside its tensors under the network's names, and say what does not fit."""
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


def _left_out(fit: Fit) -> list[str]:
    """Return the names of what is no tensor beside the weights, and is not handed to the network."""
    before = "".join(f"{name}." for name in fit.reading.prefix)
    extra = (n for n in fit.source.others if is_extra_state(n) and n.startswith(before))
    return [name for name in (*fit.source.beside, *extra) if name not in fit.taken]


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
    """Say what stands beside a network and is known to; the rest stays a fault."""
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


def _same(one: Fit, other: Fit) -> bool:
    is_equal = all(_equal(tensor, other.state[name]) for name, tensor in one.state.items())
    return is_equal and same_data(one.others, other.others)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one is other or (one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu()))


def _refusal(fits: Sequence[Fit], contents: Contents, network: Network, path: Path) -> CheckpointError:
    """Return what to raise: about the reading with the fewest faults, the earliest of several."""
    best = min(fits, key=lambda fit: fit.faults.count())
    faults, where, extra = best.faults, str(path), network.extra
    if faults.refusal is not None and faults.count() == 1:
        return faults.refusal
    expected = "weights for this network"
    if kind := foreign(best.source.tensors):
        return CheckpointError(where=where, expected=expected, got=kind[0], do=kind[1])
    if best.source.arrays and set(best.source.arrays) & set(network.own):
        got = f"numpy arrays under {enumeration([*best.source.arrays])}"
        return CheckpointError(where=where, expected=expected, got=got, do=TO_TENSORS)
    card = described(path)
    of = f", by its card {card}" if card else ""
    do = f"Check architecture, buffer, classes and image size against those it was trained with{of}"
    if faults.count() == len(faults.unexpected) and best.steps:
        do = f"If nothing else belongs to the network, leave it out with `key: {key_text(best.steps)}`"
    elif not faults.count() - len(faults.unread):
        do = "Let `get_extra_state` return numbers, texts, tensors, and lists and mappings of such"
    elif faults.missing and faults.count() == len(faults.missing) and set(faults.missing) <= {*extra}:
        do = "Save it with torch.save(network.state_dict(), FILE): the file has no extra state of its modules"
    elif len(ways := [key_text(s.steps) for s in contents.sets if not s.joined and s.steps]) > 1:
        do += f". `key` chooses one of several sets of weights: {enumeration(ways, most=12)}"
    elif contents.lists:
        do += f". `key` also chooses from the list under `{key_text(contents.lists[0][0])}`"
    return CheckpointError(where=where, expected=expected, got=faults.text(), do=do)
