"""Equal parts of many records are read once, and become one shared object."""

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
"""Cache of parts that many records share."""

_MOST_PARTS = 2**14
_parts: dict[tuple[str, bytes], Part] = {}
_conditions: dict[bytes, Provenance] = {}
_MOST_ALIKE = 2**8
_alike: dict[bytes, Any] = {}


def part_of(kind: type[Part], data: Any, name: str) -> Part:
    """Return a part of a record; equal parts are read once and shared.

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
    """Return plain JSON data as one object that equal data share; it must not be changed."""
    if len(_alike) >= _MOST_ALIKE:
        _alike.clear()
    return _alike.setdefault(marshal.dumps(data), data)


def provenance_of(data: Any) -> tuple[Any, Provenance | None]:
    """Return a record's provenance, and the same without `OWN`, which is read once and shared.

    Data that may be invalid are returned unchanged, with None: `Provenance.read` finds the error.

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
    except ValueError:  # also data that is nested too deep for `marshal`
        return data, None
    return with_own(conditions, own), conditions


def without_own(data: dict[str, Any]) -> dict[str, Any]:
    """Return the plain data of a provenance with empty values for `OWN`, if it has them."""
    return {**data, **{name: nothing for name, nothing in _NOTHING.items() if name in data}}


def own_of(data: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `OWN` in plain data of a provenance.

    Raises:
        FieldError: one of them is of another type, or not finite.
    """
    kinds = _KINDS.items()
    return {name: read_value(data[name], kind, path=name) for name, kind in kinds if name in data}


def with_own(conditions: Provenance, own: dict[str, Any]) -> Provenance:
    """Return a provenance with other values of `OWN`; like `dataclasses.replace`, but faster."""
    provenance = object.__new__(Provenance)
    for name, setter in _PUT:
        setter(provenance, own[name] if name in own else getattr(conditions, name))
    return provenance


_KINDS: dict[str, type] = {"crafted": str, "images_sha256": str, "seconds": float}
"""The types of `OWN`."""
_NOTHING: dict[str, Any] = {name: kind() for name, kind in _KINDS.items()}
_PUT: tuple[tuple[str, Callable[[Provenance, Any], None]], ...] = tuple(
    (one.name, getattr(Provenance, one.name).__set__) for one in dataclasses.fields(Provenance)
)
"""Sets the fields of a new provenance."""
