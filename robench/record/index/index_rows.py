"""Reads rows of an index: the data of many records that a board needs, and stamps of their files."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from robench.record.columns.column_arrays import SHARED, TOTALS, IndexedColumns, no_draws, shared_column
from robench.record.columns.image_columns import columns_of
from robench.record.files import MOST_TEXT
from robench.record.index.index_layout import (
    DIGEST_BYTES,
    FILE_NUMBERS,
    MOST_ROWS,
    PARTS,
    PLACES,
    VERSION,
    PieceError,
)
from robench.record.parts import OWN, Provenance
from robench.record.planned import PlannedRun
from robench.record.schema import Finding, Record, laid_out
from robench.record.shared_parts import alike, part_of
from robench.record.status import STATUSES
from robench.record.strict_json import check_depth, read_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.record.columns.column_arrays import Again


@dataclass(slots=True)
class Row:
    """A row of a piece; see `robench.record.columns.column_arrays.Origin`."""

    piece: Piece
    number: int

    def provenance(self) -> Provenance:
        """Return how the record was made."""
        own = {name: values[self.number] for name, values in zip(OWN, self.piece.own, strict=True)}
        return dataclasses.replace(self.conditions(), **own)

    def conditions(self) -> Provenance:
        """Return the same without `OWN`, the values that differ in every record."""
        return self.piece.conditions[self.number]

    def digest(self) -> str:
        """Return the checksum in the file."""
        digest: bytes = self.piece.digests[self.number].tobytes()
        return digest.hex()


class Piece:
    """A piece of an index, read and checked.

    Args:
        data: its bytes.
        in_place: let the arrays share the memory of these bytes, if these are kept anyway; else copy.

    Raises:
        PieceError: the bytes are not a valid piece.
    """

    def __init__(self, data: bytes, *, in_place: bool = False) -> None:
        try:
            self._read(data, in_place)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise PieceError(f"{type(error).__name__}: {error}"[:200]) from None

    def _read(self, data: bytes, in_place: bool) -> None:
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
            values = values.reshape(shape)
            return values if in_place else values.copy()

        self.stamps: list[tuple[int, ...]] = list(map(tuple, array("<u8", count, FILE_NUMBERS).tolist()))
        self.places = array("<i4", count, len(PLACES))
        images, draws = array("<i4", count, 2).astype(np.int64).T
        totals = array("<f8", count, len(TOTALS))
        self._totals: list[list[float]] = totals.T.tolist()
        self.digests = array("|u1", count, DIGEST_BYTES)
        if (images < 0).any() or (draws < 0).any() or not np.isfinite(totals).all():
            raise PieceError("counts")
        verdict_counts = images * draws  # cannot overflow: both are read from 32 bits
        if (verdict_counts > len(data)).any():
            raise PieceError("another length")
        self.status = array("|u1", int(images.sum()))
        self.stood = array("|u1", int(verdict_counts.sum()))
        wrong = self.status.max(initial=0) >= len(STATUSES) or self.stood.max(initial=0) > 1
        if at != len(data) or wrong:
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
        del self.own  # the access has checked it; it is read again when needed
        self._near: dict[tuple[int, ...], dict[str, Any]] = {}
        self._fields: list[tuple[Any, ...]] = []

    def _read_parts(self, text: dict[str, Any], images: NDArray[np.int64]) -> None:
        """Read the lists of the text, and check the places in them, and the columns."""
        import numpy as np

        # Each of these belongs to a row, so the number of bytes read bounds their size.
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
        """The values of the provenance that differ in every record: a list for each name in `OWN`."""
        kinds = (list[str], list[str], list[float])
        columns = zip(json.loads(self._own), OWN, kinds, strict=True)
        own = [read_value(values, kind, path=name) for values, name, kind in columns]
        if any(len(values) != len(self.keys) for values in own):
            raise PieceError("another number of own values")
        return own

    def record(self, row: int, key: str, again: Again, planned: PlannedRun | None) -> Record:
        """Return the record of a row; most of its columns are read when they are used.

        Args:
            row: number of the row.
            key: key of the record.
            again: reads the columns of a file.
            planned: the plan of the folder.
        """
        target, source, attack, threat, dataset, seed, findings, near, status = self._rows()[row]
        backing = IndexedColumns(near=near, status=status, again=again, key=key, rows=self, number=row)
        return laid_out(
            key,
            target,
            source,
            attack,
            threat,
            dataset,
            seed,
            columns_of(backing),
            findings,
            planned,
            self.conditions[row],
        )

    def row(self, number: int) -> Row:
        """Return a row of the piece."""
        return Row(self, number)

    def total(self, number: int, place: int) -> float:
        """Return the sum of a column of `TOTALS` of a row."""
        return self._totals[place][number]

    def close(self) -> None:
        """Free the data that only `record` needs."""
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
        """Return the columns that many records share, without draws; one dictionary for all of them."""
        near = self._near.get(mark)
        if near is None:
            near = {name: self._parts[name][place] for name, place in zip(SHARED, mark, strict=False)}
            near["stood"] = no_draws(mark[-1])
            self._near[mark] = near
        return near


_FIELDS = PLACES[:7]
"""The places that are fields of a record."""


def _part(data: Any, name: str) -> Any:
    if name in SHARED:
        form, n = data
        return shared_column(name, form, read_value(n, int, path=name), path=name)
    if name in PARTS:
        return part_of(PARTS[name], data, name)
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
