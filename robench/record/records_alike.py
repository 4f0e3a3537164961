"""Fields that records of many shards share are read and checked once, and recognised by their bytes.

Key, images, columns and the record's own part of the provenance differ, and are checked for each record.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from typing import Any

from robench.record.columns.image_columns import Columns
from robench.record.shared_parts import PARTS, own_of, part_of, with_own, without_own
from robench.record.strict_json import FieldError

EACH = frozenset({"key", "dataset", "columns", "provenance"})
"""Fields that differ between records."""

_MOST_KNOWN = 2**12
_known: dict[bytes, dict[str, Any]] = {}
"""Shared values, read and checked, by the bytes of their data."""


def mark_of(data: dict[str, Any]) -> bytes | None:
    """Return bytes that identify a record without `EACH`, and its provenance without its own part."""
    provenance = data.get("provenance")
    if type(provenance) is not dict or "certificates" in data:
        return None
    rest = {name: value for name, value in data.items() if name not in EACH}
    try:
        return marshal.dumps((rest, without_own(provenance)))
    except ValueError:  # nested too deep
        return None


def remember(mark: bytes, values: Mapping[str, Any]) -> None:
    """Store all fields except `EACH` of a record that was read and checked."""
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[mark] = dict(values)


def values_like(mark: bytes | None, data: dict[str, Any]) -> dict[str, Any] | None:
    """Return the values of a record that shares fields with one that was read before.

    None if there was none, or if one of its own values is wrong: the normal way of reading then names it.

    Args:
        mark: mark of its data.
        data: plain JSON data; its columns were read already.
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
