"""Writes records into a piece of an index: equal parts once, numbers as arrays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

from robench.record.columns.column_arrays import SHARED
from robench.record.columns.column_encoding import pack_numbers
from robench.record.index.index_layout import PARTS, PLACES, VERSION, Reading
from robench.record.parts import OWN, Provenance


def packed_rows(readings: Sequence[Reading]) -> bytes:
    """Return records as one piece; at most `MOST_ROWS`, and `can_hold` must be true for all."""
    import numpy as np

    lists: dict[str, _Alike] = {name: _Alike() for name in PLACES}
    places = np.zeros((len(readings), len(PLACES)), dtype="<i4")
    columns = [reading.record.columns for reading in readings]
    for column, name in enumerate(PLACES):
        if name in SHARED:
            values = [one.array(name) for one in columns]
        else:
            values = [getattr(reading.record, name) for reading in readings]
        places[:, column] = lists[name].places(values, name)
    text = json.dumps(
        {
            "version": VERSION,
            "keys": " ".join(reading.record.key for reading in readings),
            "own": json.dumps([[getattr(r.record.provenance, one) for r in readings] for one in OWN]),
            **{name: one.plain for name, one in lists.items()},
        },
        allow_nan=False,
    ).encode()
    text += b" " * (-len(text) % 8)
    arrays = (
        np.array([reading.stamp for reading in readings], dtype="<u8"),
        places,
        np.array([(len(one), one.draws) for one in columns], dtype="<i4"),
        np.array([one.totals() for one in columns], dtype="<f8"),
        np.frombuffer(bytes.fromhex("".join(reading.digest for reading in readings)), dtype=np.uint8),
        *(one.array("status") for one in columns),
        *(one.array("stood") for one in columns),
    )
    return b"".join([len(text).to_bytes(8, "little"), text, *(one.tobytes() for one in arrays)])


class _Alike:
    """The distinct values of a part, and the place of each."""

    def __init__(self) -> None:
        self.plain: list[Any] = []
        self._by_object: dict[int, tuple[object, int]] = {}
        self._by_text: dict[str, int] = {}

    def places(self, values: Iterable[Any], name: str) -> list[int]:
        """Return the places of values; the same object is found again at once."""
        places = []
        for value in values:
            before = self._by_object.get(id(value))
            if before is None or before[0] is not value:
                before = self._by_object[id(value)] = (value, self._place(value, name))
            places.append(before[1])
        return places

    def _place(self, value: Any, name: str) -> int:
        plain = _plain(value, name)
        text = json.dumps(plain)
        if text not in self._by_text:
            self._by_text[text] = len(self.plain)
            self.plain.append(plain)
        return self._by_text[text]


def _plain(value: Any, name: str) -> Any:
    if name in SHARED:
        return [pack_numbers(value, int), len(value)]
    if name == "conditions":
        return _without_own(value).plain()
    if name == "findings":
        return [dataclasses.asdict(finding) for finding in value]
    return value.plain() if name in PARTS else value


def _without_own(provenance: Provenance) -> Provenance:
    return dataclasses.replace(provenance, crafted="", images_sha256="", seconds=0.0)
