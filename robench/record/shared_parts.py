"""Parts that many records have alike: each is read once, and one object stands for all."""

from __future__ import annotations

import dataclasses
import marshal
from collections.abc import Callable
from typing import Any

from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.strict_json import Part, check_depth, read_value

PARTS: dict[str, type[Part]] = {
    "target": RecordedTarget,
    "source": RecordedSource,
    "attack": RecordedAttack,
    "threat": RecordedThreat,
    "dataset": RecordedDataset,
}
"""What many records have alike."""

_MOST_PARTS = 2**14
_parts: dict[tuple[str, bytes], Part] = {}
_conditions: dict[bytes, Provenance] = {}
_MOST_ALIKE = 2**8
_alike: dict[bytes, Any] = {}


def part_of(kind: type[Part], data: Any, name: str) -> Part:
    """Return a part of a record; equal ones are read once and shared.

    Raises:
        FieldError: a field of it is missing or of another type; names it.
    """
    mark = (name, marshal.dumps(data))
    if (part := _parts.get(mark)) is None:
        check_depth(data, path=name)
        if len(_parts) >= _MOST_PARTS:
            _parts.clear()
        part = _parts[mark] = kind.read(data, path=name)
    return part


def alike(data: Any) -> Any:
    """Return plain JSON data that many records have alike, one object for all; nobody may write to it."""
    if len(_alike) >= _MOST_ALIKE:
        _alike.clear()
    return _alike.setdefault(marshal.dumps(data), data)


def provenance_of(data: Any) -> tuple[Any, Provenance | None]:
    """Return how a record was made, and the same without `OWN`, which is read once and shared.

    What is not certainly a provenance comes back as it is, and None: `Provenance.read` tells what is wrong.

    Args:
        data: plain JSON data.
    """
    if type(data) is not dict:
        return data, None
    plain = without_own(data)
    try:
        own = own_of(data)
        mark = marshal.dumps(plain)
        if (conditions := _conditions.get(mark)) is None:
            check_depth(plain, depth=1)
            if "versions" in plain:
                plain["versions"] = alike(plain["versions"])
            if len(_conditions) >= _MOST_PARTS:
                _conditions.clear()
            conditions = _conditions[mark] = Provenance.read(plain)
    except ValueError:  # also what is nested too deep for `marshal`
        return data, None
    return with_own(conditions, own), conditions


def without_own(data: dict[str, Any]) -> dict[str, Any]:
    """Return the plain data of a provenance with nothing in the place of `OWN`, where it has them."""
    return {**data, **{name: nothing for name, nothing in _NOTHING.items() if name in data}}


def own_of(data: dict[str, Any]) -> dict[str, Any]:
    """Return what plain data of a provenance has of `OWN`.

    Raises:
        FieldError: one of them is of another type, or not finite.
    """
    kinds = _KINDS.items()
    return {name: read_value(data[name], kind, path=name) for name, kind in kinds if name in data}


def with_own(conditions: Provenance, own: dict[str, Any]) -> Provenance:
    """Return a provenance with other values of `OWN`; as `dataclasses.replace`, and faster."""
    provenance = object.__new__(Provenance)
    for name, setter in _PUT:
        setter(provenance, own[name] if name in own else getattr(conditions, name))
    return provenance


_KINDS: dict[str, type] = {"crafted": str, "images_sha256": str, "seconds": float}
"""What each of `OWN` is."""
_NOTHING: dict[str, Any] = {name: kind() for name, kind in _KINDS.items()}
_PUT: tuple[tuple[str, Callable[[Provenance, Any], None]], ...] = tuple(
    (one.name, getattr(Provenance, one.name).__set__) for one in dataclasses.fields(Provenance)
)
"""How to give a new provenance its fields."""
