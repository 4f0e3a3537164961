"""Columns of a record as arrays, as in a file or an index; equal columns of many records are stored once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from robench.record.columns.column_encoding import narrowest, unpack_draws, unpack_numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.record.parts import Provenance

    Again = Callable[[str, NDArray[np.uint8], str], "Arrays"]

KINDS: dict[str, type] = {
    "index": int, "label": int, "clean": int, "adversarial": int, "linf": float, "l2": float,
    "forwards": float, "backwards": float, "first_success": int, "points": int, "tries": int,
    "first_passes": int, "first_try": int, "distance": float,
}  # fmt: skip
"""Columns of numbers."""

SHARED = ("index", "label", "clean")
"""Columns that are equal in many records, which then share one array."""

TOTALS = ("forwards", "backwards")
"""Columns of which tables show only the sum."""

_MOST_SHARED = 2**14

_shared: dict[tuple[str, str, int], NDArray[np.int64]] = {}
_MOST_SUMS = 2**8
_sums: dict[int, tuple[NDArray[Any], float]] = {}
"""Shared columns that repeat one value, by their place in memory, and their sums."""


class Arrays(Protocol):
    """An object that returns columns as arrays."""

    def array(self, name: str) -> NDArray[Any]:
        """Return a column."""

    def arrays(self, *names: str) -> tuple[NDArray[Any], ...]:
        """Return several columns, with one check of the file."""


@dataclass(slots=True, kw_only=True)
class Stored:
    """Columns as arrays, as in a file.

    Attributes:
        near: index, label, clean and stood, which are equal in many records.
        status: indices in `STATUSES`.
        totals: sums of the columns of `TOTALS`, stored if the columns themselves are not.
        rest: the other columns; None if they were only checked, or if `again` reads them on demand.
        again: returns the columns from the file of a key; the file must have the same statuses, and the same
            checksum or none.
        key: key of the file.
        listed: whether any column was returned as a list, which the caller may have changed.
    """

    near: dict[str, Any]
    status: NDArray[np.uint8]
    rest: dict[str, NDArray[Any]] | None = None
    totals: tuple[float, ...] = ()
    again: Again | None = None
    key: str = ""
    listed: bool = False

    def whole(self) -> Arrays:
        """Return the columns, read from the file again."""
        assert self.again is not None
        return self.again(self.key, self.status, "")

    def total(self, name: str) -> float | None:
        """Return the sum of a column of `TOTALS`, None if the column itself is in memory."""
        return self.totals[TOTALS.index(name)] if self.totals else None


class Origin(Protocol):
    """A row of an index, with data of its record."""

    def provenance(self) -> Provenance:
        """Return how the record was made."""

    def digest(self) -> str:
        """Return the checksum of the record."""


class Rows(Protocol):
    """A piece of an index."""

    def row(self, number: int) -> Origin:
        """Return a row of the piece."""

    def total(self, number: int, place: int) -> float:
        """Return the sum of a column of `TOTALS` of a row."""


@dataclass(slots=True, kw_only=True)
class IndexedColumns(Stored):
    """Columns from an index, which has those that boards need; the rest is read from the file.

    Attributes:
        rows: of a piece of the index.
        number: number of the row.
    """

    rows: Rows
    number: int

    @property
    def origin(self) -> Origin:
        """The row of the index."""
        return self.rows.row(self.number)

    def whole(self) -> Arrays:
        """Return the columns, read from the record's file."""
        assert self.again is not None
        return self.again(self.key, self.status, self.origin.digest())

    def total(self, name: str) -> float:
        """Return the sum of a column of `TOTALS`."""
        return self.rows.total(self.number, TOTALS.index(name))


def sum_of(column: NDArray[Any]) -> float:
    """Return the sum of a column of numbers."""
    import numpy as np

    with np.errstate(over="ignore"):  # only absurd numbers overflow, to infinity
        return float(column.sum())


def sum_of_shared(column: NDArray[Any]) -> float:
    """Return the sum of a column; the sum of a shared read-only column is computed once."""
    before = _sums.get(id(column))
    if before is not None and before[0] is column:
        return before[1]
    total = sum_of(column)
    if not column.flags.writeable:
        if len(_sums) >= _MOST_SUMS:
            _sums.clear()
        _sums[id(column)] = column, total
    return total


@lru_cache(maxsize=64)
def no_draws(n: int) -> NDArray[np.uint8]:
    """Return the outcomes of images of a model that is not random, which has no draws: (n, 0)."""
    return unpack_draws([], n, path="stood")


def shared_column(name: str, data: Any, n: int, *, path: str) -> NDArray[np.int64]:
    """Return a column of `SHARED` from its JSON form: records with equal columns get the same array.

    Raises:
        FieldError: as `unpack_numbers`.
    """
    mark = (name, repr(data), n)
    column = _shared.get(mark)
    if column is None:
        column = one_of(name, mark[1], unpack_numbers(data, KINDS[name], n, path=path))
    return column


def one_of(name: str, mark: str, column: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the array that all records with this column share."""
    if len(_shared) >= _MOST_SHARED:
        _shared.clear()
    if name != "index" and len(column):
        column = column.astype(narrowest(column))
    column.setflags(write=False)
    return _shared.setdefault((name, mark, len(column)), column)


def thin(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column that repeats one value as a view of one entry."""
    import numpy as np

    if len(column) and (column.view("u8") == column[:1].view("u8")).all():
        return np.broadcast_to(column[:1].copy(), column.shape)
    return column
