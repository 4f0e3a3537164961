"""Parts that many records have alike: each is read once, and one object stands for all."""

from __future__ import annotations

import marshal
from typing import Any

from robench.record.parts import (
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.strict_json import Part, check_depth

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
