"""The places of weights in a checkpoint: every set of tensors with names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from model_zoo.checkpoints.beside_tensors import (
    Versions,
    is_extra_state,
    tensors_within,
    versions_of,
)
from model_zoo.checkpoints.reparametrized import is_plain
from model_zoo.checkpoints.untrusted_weights import TO_TENSORS, InertArray, enumeration
from robench.errors import CheckpointError
from robench.intake.archives import check_expansion
from robench.intake.limits import TENSORS
from robench.plan.weights_path import Step, key_text

EXPECTED = "a state_dict of tensors"
FIRST = (
    "state_dict", "model_state_dict", "net", "model", "network", "module", "model_state", "params", "weights",
    "parameters", "classifier_state", "state", "student", "backbone", "generator", "best",
)  # fmt: skip
"""Names under which weights are searched first, in this order; other names follow in the file's order."""
_SECOND = re.compile(
    r"(^|.*_)(ema|swa|avg|averaged?|shadow|teacher|momentum|target|last|latest|old|init|initial)(_.*|\d*)$"
)
"""Names of sets that are taken only if no other fits: averages of weights, teachers, other epochs."""
_NEVER = re.compile(
    r"(^|.*_)(optim|optimizers?|optims?|schedulers?|sched|scaler|grads?|gradients?|exp_avg|exp_avg_sq|rng)(_.*|$)"
)
"""Names of tensors that have the shapes of weights but are not: read only if a `key` leads there."""
_DEEPEST = 8
_MOST = 1000
"""Most sets that are read; a file with more is made to cost time, or needs a `key`."""
_MOST_VISITS = 10_000_000
"""Most entries of mappings and lists that are read; an entry in several places counts several times."""
_MOST_JOINED = 16
"""Most mappings inside one that are joined, because a network may be stored in parts."""
_COUNTS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSet:
    """Tensors with names, and where in the file they are.

    Attributes:
        steps: the path to them.
        tensors: name to tensor.
        beside: names of entries among them that are not tensors.
        arrays: whether some of these are numpy arrays.
        others: entries that are not tensors, by name, and the extra state of modules, of any kind.
        versions: module to the version data of its class, None if the file has none.
        is_malformed: whether the versions are in a form that is not torch's.
        joined: whether the set consists of several mappings inside one, joined.
    """

    steps: tuple[Step, ...]
    tensors: dict[str, Tensor]
    beside: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    others: Mapping[str, Any] = field(default_factory=dict)
    versions: Versions | None = None
    is_malformed: bool = False
    joined: bool = False


@dataclass(slots=True)
class Contents:
    """The contents of a file, or of a part of it.

    Attributes:
        sets: the sets of weights, in the file's order.
        lists: the path to every list of several sets, and the positions of these.
        arrays: names of numpy arrays.
        left: one number: how many mappings and lists may still be read.
    """

    sets: list[WeightSet] = field(default_factory=list)
    lists: list[tuple[tuple[Step, ...], list[int]]] = field(default_factory=list)
    arrays: list[str] = field(default_factory=list)
    left: list[int] = field(default_factory=lambda: [_MOST_VISITS])


def rank(steps: Sequence[Step]) -> tuple[bool, tuple[int, ...]]:
    """Return the sort key of a set of weights: plain sets before averaged ones, then by name."""
    names = [str(step) for step in steps]
    places = (FIRST.index(name) if name in FIRST else len(FIRST) for name in names)
    return any(map(is_second, names)), tuple(places)


def is_second(name: str) -> bool:
    """Tell whether a set of this name is an average, a teacher, another epoch: used only if no other fits."""
    return bool(_SECOND.match(name.lower()))


def weight_sets(loaded: Any, *, steps: tuple[Step, ...] = (), where: str) -> Contents:
    """Return every set of weights in loaded data.

    Args:
        loaded: the contents of the file, or the part that a key chose.
        steps: the path to that part.
        where: the file, for the message.

    Raises:
        CheckpointError: it has no set, or only lists of several sets.
    """
    contents = Contents()
    _walk(loaded, steps, contents, frozenset())
    _check_tensors(contents, where)
    if len(contents.sets) > _MOST or contents.left[0] < 0:
        got = f"more than {_MOST}" if contents.left[0] >= 0 else "lists and mappings without end"
        raise CheckpointError(
            where=where, expected="few sets of weights", got=got, do="Choose one with `key`"
        )
    if not contents.sets and contents.lists:
        way, positions = contents.lists[0]
        under = f" under `{key_text(way)}`" if way else ""
        keys = [key_text((*way, position)) for position in positions]
        several = _COUNTS[len(keys)] if len(keys) < len(_COUNTS) else str(len(keys))
        got = f"{several} of them: choose one with `key: {keys[0]}`, up to `key: {keys[-1]}`"
        raise CheckpointError(where=where, expected=f"one set of weights{under}", got=got)
    if not contents.sets and contents.arrays:
        got = f"numpy arrays under {enumeration(contents.arrays)}"
        raise CheckpointError(where=where, expected=EXPECTED, got=got, do=TO_TENSORS)
    if not contents.sets:
        do = "Save model.state_dict() alone, or under the key 'state_dict'"
        raise CheckpointError(where=where, expected=EXPECTED, got=_kind(loaded), do=do)
    return contents


def _check_tensors(contents: Contents, where: str) -> None:
    """Refuse more tensors than any network has, and tensors that are large by repeating a few numbers."""
    distinct: dict[int, Tensor] = {}
    for weights in contents.sets:
        TENSORS.check(len(weights.tensors), where=where, error=CheckpointError)
        extra = (value for name, value in weights.others.items() if is_extra_state(name))
        tensors = (*weights.tensors.values(), *(t for value in extra for t in tensors_within(value)))
        distinct |= {id(tensor): tensor for tensor in tensors}
    for tensor in distinct.values():
        if is_plain(tensor):
            capacity = tensor.untyped_storage().nbytes()
            check_expansion(
                capacity, tensor.numel() * tensor.element_size(), where=where, error=CheckpointError
            )


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        names = [str(name) for name in value]
        return f"no tensors, but {enumeration(names)}" if names else "an empty mapping"
    if isinstance(value, list | tuple):
        kinds = sorted({type(item).__name__ for item in value})
        return f"a list of {len(value)} ({enumeration(kinds)}), without names"
    return type(value).__name__


def _walk(node: Any, steps: tuple[Step, ...], contents: Contents, above: frozenset[int]) -> None:
    """Collect the sets below a node; a mapping inside itself and too deep nodes are skipped."""
    if len(steps) > _DEEPEST or id(node) in above or len(contents.sets) > _MOST:
        return
    contents.left[0] -= 1 + (len(node) if isinstance(node, Mapping | list | tuple) else 0)
    if contents.left[0] < 0:
        return
    if isinstance(node, list | tuple):
        _walk_list(node, steps, contents, above | {id(node)})
        return
    if not isinstance(node, Mapping) or "param_groups" in node:
        return
    others = {str(name): value for name, value in node.items() if not _is_weight(name, value)}
    tensors = {str(name): value for name, value in node.items() if _is_weight(name, value)}
    arrays = tuple(str(name) for name, value in node.items() if isinstance(value, InertArray))
    if tensors or any(map(is_extra_state, others)):
        versions, is_malformed = versions_of(node)
        contents.sets.append(
            WeightSet(
                steps=steps,
                tensors=tensors,
                beside=tuple(name for name in others if not is_extra_state(name)),
                arrays=arrays,
                others=others,
                versions=versions,
                is_malformed=is_malformed,
            )
        )
    contents.arrays += arrays
    first = len(contents.sets)
    for name, value in node.items():
        if not (isinstance(name, str) and (_NEVER.match(name.lower()) or is_extra_state(name))):
            step = name if type(name) is int else str(name)
            _walk(value, (*steps, step), contents, above | {id(node)})
    if (
        contents.left[0] >= 0
        and 0 < len(contents.sets) - first <= _MOST_JOINED
        and (union := dict(_joined(node, "", frozenset()))).keys() != tensors.keys()
    ):
        contents.sets.append(_union(node, steps, union))


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(value, Tensor) and not is_extra_state(str(name))


def _walk_list(
    node: list[Any] | tuple[Any, ...], steps: tuple[Step, ...], contents: Contents, above: frozenset[int]
) -> None:
    """Collect the sets in a list: those of the only item that has some, or the positions if several have."""
    inner = {}
    for position, item in enumerate(node):
        if isinstance(item, Mapping | list | tuple):
            contents_inside = Contents(left=contents.left)
            _walk(item, (*steps, position), contents_inside, above)
            if contents_inside.sets or contents_inside.lists:
                inner[position] = contents_inside
    if len(inner) > 1:
        contents.lists.append((steps, list(inner)))
    for contents_inside in inner.values() if len(inner) == 1 else ():
        contents.sets += contents_inside.sets
        contents.lists += contents_inside.lists


def _union(node: Mapping[Any, Any], steps: tuple[Step, ...], tensors: dict[str, Tensor]) -> WeightSet:
    """Return the tensors of mappings inside one as one set, with their other entries."""
    others: dict[str, Any] = {}
    versions: Versions = {}
    is_malformed, is_told = False, False
    for prefix, part in _parts(node, "", frozenset()):
        others |= {prefix + str(n): value for n, value in part.items() if not _is_weight(n, value)}
        entries, is_wrong = versions_of(part)
        is_malformed, is_told = is_malformed or is_wrong, is_told or entries is not None
        versions |= {f"{prefix}{n}".removesuffix("."): entry for n, entry in (entries or {}).items()}
    return WeightSet(
        steps=steps,
        tensors=tensors,
        others=others,
        versions=versions if is_told else None,
        is_malformed=is_malformed,
        joined=True,
    )


def _joined(node: Mapping[Any, Any], prefix: str, above: frozenset[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of mappings within mappings under names with dots between."""
    if id(node) in above or len(above) > _DEEPEST:
        return
    for name, value in node.items():
        if _is_weight(name, value):
            yield f"{prefix}{name}", value
        elif _is_part(name, value):
            yield from _joined(value, f"{prefix}{name}.", above | {id(node)})


def _parts(
    node: Mapping[Any, Any], prefix: str, above: frozenset[int]
) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the mappings that `_joined` joins, each with the prefix of its names."""
    if id(node) in above or len(above) > _DEEPEST:
        return
    yield prefix, node
    for name, value in node.items():
        if _is_part(name, value):
            yield from _parts(value, f"{prefix}{name}.", above | {id(node)})


def _is_part(name: Any, value: Any) -> bool:
    if not isinstance(value, Mapping) or "param_groups" in value:
        return False
    return not (_NEVER.match(str(name).lower()) or is_extra_state(str(name)))
