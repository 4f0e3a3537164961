"""Rows of an index as bytes, and back: what a board needs of many records, and of which files they are.

A piece of the index is one text of JSON and arrays behind it, all little-endian::

    u8 length of the text, the text, spaces up to a multiple of 8
    u8 (count, 5)   the file: size, mtime_ns, ctime_ns, inode, device
    i4 (count, 11)  places in the lists of the text: `PLACES`
    i4 (count, 2)   images, draws
    f8 (count, 2)   sums of the columns of `TOTALS`
    u1 (count, 32)  the checksum in the file
    u1              statuses of all images
    u1              how they stood in all draws

Equal parts of records are in the text once. Only sealed records of the present schema without certificates
are put into an index.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from robench.record.columns import columns_of
from robench.record.files import MOST_TEXT
from robench.record.packing import STATUSES, pack_numbers
from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.planned import PlannedRun
from robench.record.reader import check_depth, read_value
from robench.record.schema import RECORD_SCHEMA, Finding, Record, alike, laid_out, part_of
from robench.record.stored_columns import SHARED, TOTALS, IndexedColumns, no_draws, shared_column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.record.stored_columns import Again

VERSION = 1
MOST_ROWS = 2**13
"""Most rows of a piece."""
PLACES = (
    "target", "source", "attack", "threat", "dataset", "seed", "findings", "conditions", *SHARED,
)  # fmt: skip
OWN = ("crafted", "images_sha256", "seconds")
"""What of a provenance no other record has."""

_PARTS: dict[str, Any] = {
    "target": RecordedTarget, "source": RecordedSource, "attack": RecordedAttack,
    "threat": RecordedThreat, "dataset": RecordedDataset,
}  # fmt: skip
_FILE = 5
_DIGEST = 32


class Stamp(NamedTuple):
    """What tells whether a file is the one that was read: whoever writes to it changes it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return the stamp of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


class Reading(NamedTuple):
    """A record, the checksum in its file, and the stamp that the file had before it was read."""

    record: Record
    digest: str
    stamp: Stamp


class PieceError(ValueError):
    """Bytes that are no piece of an index."""


def can_hold(record: Record) -> bool:
    """Tell whether a record has all that it needs to be in an index."""
    finite = all(math.isfinite(record.columns.total(name)) for name in TOTALS)
    return finite and record.schema == RECORD_SCHEMA and record.certificates is None


def packed_rows(readings: Sequence[Reading]) -> bytes:
    """Return some records as one piece; at most `MOST_ROWS`, all of which `can_hold` takes."""
    import numpy as np

    lists: dict[str, _Alike] = {name: _Alike() for name in PLACES}
    places = np.zeros((len(readings), len(PLACES)), dtype="<i4")
    for row, reading in enumerate(readings):
        for column, name in enumerate(PLACES):
            places[row, column] = lists[name].place(_value(reading.record, name), name)
    columns = [reading.record.columns for reading in readings]
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
        np.array([[one.total(name) for name in TOTALS] for one in columns], dtype="<f8"),
        np.frombuffer(bytes.fromhex("".join(reading.digest for reading in readings)), dtype=np.uint8),
        *(one.array("status") for one in columns),
        *(one.array("stood") for one in columns),
    )
    return b"".join([len(text).to_bytes(8, "little"), text, *(one.tobytes() for one in arrays)])


class _Alike:
    """The different values of a part, and the place of each."""

    def __init__(self) -> None:
        self.plain: list[Any] = []
        self._by_object: dict[int, tuple[object, int]] = {}
        self._by_text: dict[str, int] = {}

    def place(self, value: Any, name: str) -> int:
        """Return the place of a value; one that comes again as the same object is found at once."""
        before = self._by_object.get(id(value))
        if before is not None and before[0] is value:
            return before[1]
        plain = _plain(value, name)
        text = json.dumps(plain)
        if text not in self._by_text:
            self._by_text[text] = len(self.plain)
            self.plain.append(plain)
        self._by_object[id(value)] = (value, self._by_text[text])
        return self._by_text[text]


def _value(record: Record, name: str) -> Any:
    if name in SHARED:
        return record.columns.array(name)
    return record.conditions if name == "conditions" else getattr(record, name)


def _plain(value: Any, name: str) -> Any:
    if name in SHARED:
        return [pack_numbers(value, int), len(value)]
    if name == "conditions":
        return _without_own(value).plain()
    if name == "findings":
        return [dataclasses.asdict(finding) for finding in value]
    return value.plain() if name in _PARTS else value


def _without_own(provenance: Provenance) -> Provenance:
    return dataclasses.replace(provenance, crafted="", images_sha256="", seconds=0.0)


@dataclass(slots=True)
class Row:
    """A row of a piece; see `robench.record.columns.Origin`."""

    piece: Piece
    number: int

    def provenance(self) -> Provenance:
        """Return how the record was made."""
        own = {name: values[self.number] for name, values in zip(OWN, self.piece.own, strict=True)}
        return dataclasses.replace(self.conditions(), **own)

    def conditions(self) -> Provenance:
        """Return the same without what no other record has."""
        return self.piece.conditions[self.number]

    def total(self, place: int) -> float:
        """Return the sum of a column of `TOTALS`."""
        return float(self.piece.totals[self.number, place])

    def digest(self) -> str:
        """Return the checksum in the file."""
        digest: bytes = self.piece.digests[self.number].tobytes()
        return digest.hex()


class Piece:
    """A piece of an index that was read and checked.

    Args:
        data: its bytes.

    Raises:
        PieceError: they are none.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._read(data)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise PieceError(f"{type(error).__name__}: {error}"[:200]) from None

    def _read(self, data: bytes) -> None:
        import numpy as np

        size = int.from_bytes(data[:8], "little")
        if not 0 < size <= min(MOST_TEXT, len(data) - 8) or size % 8:
            raise PieceError("another length")
        text = json.loads(data[8 : 8 + size].decode())
        if text["version"] != VERSION:
            raise PieceError("another version")
        self.keys: list[str] = text["keys"].split(" ")
        count = len(self.keys)
        if count > MOST_ROWS:
            raise PieceError("too many rows")
        at = 8 + size

        def array(kind: str, *shape: int) -> NDArray[Any]:
            nonlocal at
            values = np.frombuffer(data, dtype=kind, count=int(np.prod(shape, dtype=object)), offset=at)
            at += values.nbytes
            return values.reshape(shape).copy()

        self.stamps: list[tuple[int, ...]] = list(map(tuple, array("<u8", count, _FILE).tolist()))
        self.places = array("<i4", count, len(PLACES))
        images, draws = array("<i4", count, 2).astype(np.int64).T
        self.totals = array("<f8", count, len(TOTALS))
        self.digests = array("|u1", count, _DIGEST)
        if (images < 0).any() or (draws < 0).any() or not np.isfinite(self.totals).all():
            raise PieceError("counts")
        verdict_counts = images.astype(object) * draws
        self.status = array("|u1", int(images.sum()))
        self.stood = array("|u1", int(verdict_counts.sum()))
        if at != len(data) or (self.status >= len(STATUSES)).any() or (self.stood > 1).any():
            raise PieceError("another length, or statuses that are none")
        self.status.setflags(write=False)
        self.stood.setflags(write=False)
        self.draws: list[int] = draws.tolist()
        self.ends: list[int] = images.cumsum().tolist()
        self.stood_ends: list[int] = verdict_counts.cumsum().tolist()
        self._read_parts(text, images)
        self._own: str = text["own"]
        if not self.own:
            raise PieceError("no own values")
        del self.own  # which checked it; it is read again if somebody asks
        self._near: dict[tuple[int, ...], dict[str, Any]] = {}
        self._fields: list[tuple[Any, ...]] = []

    def _read_parts(self, text: dict[str, Any], images: NDArray[np.int64]) -> None:
        """Read the lists of the text, and look whether the places in them, and the columns, fit."""
        import numpy as np

        # Each of these is a row's, so the bytes that were read bound what they become.
        sums = {name: sum(read_value(n, int, path=name) for _, n in text[name]) for name in SHARED}
        least = min((n for name in SHARED for _, n in text[name]), default=0)
        if least < 0 or max(sums.values()) > len(self.status):
            raise PieceError("columns of other lengths")
        self._parts = {name: [_part(one, name) for one in text[name]] for name in PLACES}
        lengths = np.array([len(self._parts[name]) for name in PLACES])
        if ((self.places < 0) | (self.places >= lengths)).any():
            raise PieceError("a place that is none")
        for name in SHARED:
            sizes = np.array([len(one) for one in self._parts[name]])
            if (sizes[self.places[:, PLACES.index(name)]] != images).any():
                raise PieceError("columns of other lengths")
        condition_places = self.places[:, PLACES.index("conditions")].tolist()
        self.conditions: list[Provenance] = [self._parts["conditions"][place] for place in condition_places]

    @cached_property
    def own(self) -> list[Any]:
        """What of the provenance each record has for itself: a list for each of `OWN`."""
        kinds = (list[str], list[str], list[float])
        columns = zip(json.loads(self._own), OWN, kinds, strict=True)
        own = [read_value(values, kind, path=name) for values, name, kind in columns]
        if any(len(values) != len(self.keys) for values in own):
            raise PieceError("another number of own values")
        return own

    def record(self, row: int, key: str, again: Again, planned: PlannedRun | None) -> Record:
        """Return the record of a row, of which most columns are read when they are asked for.

        Args:
            row: its number.
            key: its key.
            again: reads the columns of a file.
            planned: what the plan of the folder asks for.
        """
        target, source, attack, threat, dataset, seed, findings, near, status = self._rows()[row]
        backing = IndexedColumns(near=near, status=status, again=again, key=key, origin=Row(self, row))
        return laid_out(
            key, target, source, attack, threat, dataset, seed, columns_of(backing), findings, planned
        )

    def close(self) -> None:
        """Forget what `record` alone needs."""
        self._fields = []

    def _rows(self) -> list[tuple[Any, ...]]:
        if not self._fields:
            places = self.places.T.tolist()
            fields = [
                [self._parts[name][at] for at in own] for name, own in zip(_FIELDS, places, strict=False)
            ]
            starts = [0, *self.ends]
            status = [self.status[a:b] for a, b in pairwise(starts)]
            marks = zip(*places[-len(SHARED) :], map(len, status), strict=True)
            near = [self._near_of(mark) for mark in marks]
            spans = pairwise([0, *self.stood_ends])
            for row, (draws, (start, end)) in enumerate(zip(self.draws, spans, strict=True)):
                if draws:
                    verdicts = self.stood[start:end].reshape(-1, draws)
                    near[row] = near[row] | {"stood": verdicts}
            self._fields = list(zip(*fields, near, status, strict=True))
        return self._fields

    def _near_of(self, mark: tuple[int, ...]) -> dict[str, Any]:
        """Return the columns that many records have alike, without draws; one dictionary for all of them."""
        near = self._near.get(mark)
        if near is None:
            near = {name: self._parts[name][place] for name, place in zip(SHARED, mark, strict=False)}
            near["stood"] = no_draws(mark[-1])
            self._near[mark] = near
        return near


_FIELDS = PLACES[:7]
"""Those that are fields of a record."""


def _part(data: Any, name: str) -> Any:
    if name in SHARED:
        form, n = data
        return shared_column(name, form, read_value(n, int, path=name), path=name)
    if name in _PARTS:
        return part_of(_PARTS[name], data, name)
    if name == "seed":
        if type(data) is not int:
            raise PieceError("a seed that is no whole number")
        return data
    check_depth(data)
    if name == "findings":
        return read_value(data, tuple[Finding, ...], path=name)
    if isinstance(data, dict) and "versions" in data:
        data["versions"] = alike(data["versions"])
    return Provenance.read(data)
