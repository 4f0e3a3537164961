"""Entries of a state_dict beside its tensors: extra state of modules, and the versions of their classes.

torch writes the first as an entry `<module>._extra_state` (`Module.get_extra_state`) and the second as an
attribute `_metadata`, module to `{"version": ...}`. A module uses both when it is loaded: without them it
may compute a different function than the saved module.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

EXTRA = "_extra_state"
"""The last part of the name of a module's extra state."""
Versions = dict[str, dict[str, Any]]
"""Module to the version data that its class wrote."""
_SCALARS = (bool, int, float, complex, str, torch.dtype, torch.device)
_DEEPEST = 32
_MOST_VALUES = 1_000_000


def is_extra_state(name: str) -> bool:
    """Tell whether an entry of a state_dict is the extra state of a module."""
    return name.rpartition(".")[2] == EXTRA


def wanted(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the extra state that a network's modules accept, by torch's rule."""
    return tuple(
        f"{name}.{EXTRA}" if name else EXTRA
        for name, part in network.named_modules(remove_duplicate=False)
        if getattr(type(part), "set_extra_state", None) is not nn.Module.set_extra_state
        and hasattr(type(part), "set_extra_state")
    )


def is_plain_data(value: Any) -> bool:
    """Tell whether a value consists of numbers, texts, tensors, and lists, tuples and mappings of these.

    False for an object that the safe reader did not make, for bytes (which a module might unpickle), and for
    a list that contains itself.
    """
    left = [_MOST_VALUES]
    return _is_plain(value, 0, left)


def _is_plain(value: Any, depth: int, left: list[int]) -> bool:
    left[0] -= 1
    if value is None or isinstance(value, (*_SCALARS, Tensor)):
        return True
    if depth >= _DEEPEST or left[0] < 0:
        return False
    if isinstance(value, Mapping):
        return all(_is_plain(part, depth + 1, left) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return all(_is_plain(part, depth + 1, left) for part in value)
    return False


def tensors_within(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of plain data; an object in several places, or inside itself, is visited once."""
    left, ids = [value], set[int]()
    while left:
        node = left.pop()
        if isinstance(node, Tensor):
            yield node
        elif isinstance(node, Mapping | list | tuple) and id(node) not in ids:
            ids.add(id(node))
            left += node.values() if isinstance(node, Mapping) else node


def same_data(one: Any, other: Any) -> bool:
    """Tell whether two values of plain data are the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu())
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same_data(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_data, one, other))
    return bool(one == other)


def versions_of(node: Any) -> tuple[Versions | None, bool]:
    """Return the versions in a state_dict, None if it has none; and whether they are malformed.

    Args:
        node: a state_dict from the safe reader.
    """
    metadata = getattr(node, "_metadata", None)
    if metadata is None:
        return None, False
    if not isinstance(metadata, Mapping):
        return None, True
    versions: Versions = {}
    for name, entry in metadata.items():
        is_mapping = isinstance(name, str) and isinstance(entry, Mapping)
        if not is_mapping or not all(isinstance(key, str) for key in entry) or not is_plain_data(entry):
            return None, True
        if type(entry.get("version", 1)) is not int and entry["version"] is not None:
            return None, True
        versions[name] = dict(entry)
    return versions, False


def below(node: Mapping[Any, Any], prefix: str, part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a state_dict under a prefix, with the versions of this part."""
    entries = OrderedDict(part)
    metadata = getattr(node, "_metadata", None)
    if isinstance(metadata, Mapping):
        entries._metadata = {  # type: ignore[attr-defined]
            f"{name}."[len(prefix) :].removesuffix("."): value
            for name, value in metadata.items()
            if isinstance(name, str) and f"{name}.".startswith(prefix)
        }
    elif metadata is not None:
        entries._metadata = metadata  # type: ignore[attr-defined]
    return entries


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnNames:
    """How names of a file become those of a network's modules: in the same way as the names of tensors.

    Attributes:
        prefix: the common beginning of all names, without a dot at its end.
        wrappers: parts of names that are left out, at any place.
        backbone: whether the file's network is the backbone of the one that is loaded.
    """

    prefix: str = ""
    wrappers: Collection[str] = ()
    backbone: bool = False

    def of(self, name: str) -> str | None:
        """Return the network's name for a module or an entry of the file, None for one outside the prefix."""
        before = f"{self.prefix}." if self.prefix else ""
        if not f"{name}.".startswith(before):
            return None
        rest = f"{name}."[len(before) :].removesuffix(".")
        parts = [part for part in rest.split(".") if part and part not in self.wrappers]
        return ".".join(["backbone", *parts] if self.backbone else parts)


def own_versions(versions: Versions | None, names: OwnNames) -> Versions | None:
    """Return versions under the network's names; of a module and its wrapper the module's is used."""
    if versions is None:
        return None
    own: Versions = {}
    for name, entry in sorted(versions.items(), key=lambda item: item[0].count(".")):
        goal = names.of(name)
        if goal is not None:
            own[goal] = entry
    return own


def put_back(network: nn.Module, state: Mapping[str, Any]) -> None:
    """Restore the earlier extra state of a network's modules, as far as they accept it."""
    for name in wanted(network):
        if name in state:
            with suppress(Exception):
                network.get_submodule(name.removesuffix(EXTRA).removesuffix(".")).set_extra_state(state[name])


def converting(network: nn.Module) -> list[str]:
    """Return the modules whose class, not torch's or torchvision's, may convert weights of older versions."""
    classes = {
        type(part)
        for part in network.modules()
        if type(part)._load_from_state_dict is not nn.Module._load_from_state_dict
        and (getattr(type(part), "_version", None) or 1) != 1
        and type(part).__module__.partition(".")[0] not in {"torch", "torchvision"}
    }
    return sorted(f"{kind.__name__} {kind._version}" for kind in classes)
