"""What records of many shards under one attack have alike is read and checked once, and known by its bytes.

What is not alike, key, images, columns and its own part of the provenance, is checked for each record.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from typing import Any

from robench.record.columns import Columns
from robench.record.shared_parts import PARTS, own_of, part_of, with_own, without_own
from robench.record.strict_json import FieldError

EACH = frozenset({"key", "dataset", "columns", "provenance"})
"""Fields that each record has for itself."""

_MOST_KNOWN = 2**12
_known: dict[bytes, dict[str, Any]] = {}
"""Values that records had alike, read and checked, by the bytes of the data that they were read from."""


def mark_of(data: dict[str, Any]) -> bytes | None:
    """Return bytes that tell all of a record but `EACH`, and of its provenance all but its own part."""
    provenance = data.get("provenance")
    if type(provenance) is not dict or "certificates" in data:
        return None
    rest = {name: value for name, value in data.items() if name not in EACH}
    try:
        return marshal.dumps((rest, without_own(provenance)))
    except ValueError:  # nested too deep
        return None


def remember(mark: bytes, values: Mapping[str, Any]) -> None:
    """Keep what a record that was read and checked has in all fields but `EACH`."""
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[mark] = dict(values)


def values_like(mark: bytes | None, data: dict[str, Any]) -> dict[str, Any] | None:
    """Return the values of a record like one that was read before.

    None where there was none, or where a value of its own is wrong: the plain way then says which.

    Args:
        mark: of its data.
        data: plain JSON data, whose columns were read already.
    """
    before = None if mark is None else _known.get(mark)
    if before is None or not data.keys() >= EACH:
        return None
    if type(data["key"]) is not str or type(data["columns"]) is not Columns:
        return None
    try:
        own = own_of(data["provenance"])
    except FieldError:
        return None
    return {
        **before,
        "key": data["key"],
        "dataset": part_of(PARTS["dataset"], data["dataset"], "dataset"),
        "columns": data["columns"],
        "provenance": with_own(before["indexed"], own),
    }
