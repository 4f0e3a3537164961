"""The per-image columns of a record: as lists to write or look at, as arrays to compute with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from robench.record.columns.column_arrays import (
    KINDS,
    SHARED,
    TOTALS,
    IndexedColumns,
    Origin,
    Stored,
    one_of,
    sum_of,
    thin,
)
from robench.record.columns.column_encoding import status_codes, unpack_draws
from robench.record.status import STATUSES, Status
from robench.record.strict_json import described

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.record.columns.column_arrays import Again


LATER_COLUMNS = ("points", "tries", "first_passes", "first_try", "distance")
"""Columns that records of earlier versions do not have."""

RARE_COLUMNS = ("distance", "stood")
"""Columns that most records do not need, and then do not write."""


class _Lazy:
    """Makes the list of a column from the file's data when it is first used."""

    __slots__ = ("_stored",)

    if TYPE_CHECKING:
        _stored: Stored
    else:  # the type checker must not take every name for a column

        def __getattr__(self, name: str) -> Any:
            if name not in NAMES or stored_of(self) is None:
                raise AttributeError(name)
            column = self.array(name)
            if name == "status":
                column = [STATUSES[code] for code in column.tolist()]
            elif name == "stood":
                column = ["".join(map(str, draws)) for draws in column.tolist()] if column.shape[1] else []
            else:
                column = column.tolist()
            stored_of(self).listed = True
            object.__setattr__(self, name, column)
            return column


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns(_Lazy):
    """One entry per image, all lists of the same length.

    Attributes:
        index: position in the full split.
        label: true class.
        clean: predicted class of the clean image, -1 if the output was not finite, -2 if it was a tie.
        adversarial: predicted class of the proposed image after the judge's checks.
        status: a Status.
        linf: largest pixel change.
        l2: Euclidean size of the change.
        forwards: forward passes the attack spent on the source.
        backwards: backward passes the attack spent on the source.
        first_success: how many points the attack had tried on the source at its first success there, 0 if
            never or unknown; the attack does not evaluate its last point, unless the image was broken before.
        points: number of points it tried, 0 if unknown.
        tries: number of fresh starts, 0 if unknown.
        first_passes: forwards plus backwards until the first success, 0 if never or unknown.
        first_try: the fresh start of the first success, from 1; 0 if never or unknown.
        distance: size of the change in the norm of the threat, if that is L1 or L0; 0 under other norms,
            where `linf` or `l2` has it.
        stood: for a random model one text per image, such as `1101`: whether it stood (1) in each fresh draw
            of noise, at the judged point; empty for any other model. `status` is about the attacked draw.

    Columns that are missing in a record of an earlier version are filled with 0.

    Raises:
        TypeError: another column is missing.
        ValueError: the columns have different lengths, a status is unknown, or the texts in `stood` are not
            of equally many 0 and 1.
    """

    index: list[int]
    label: list[int]
    clean: list[int]
    adversarial: list[int]
    status: list[str]
    linf: list[float]
    l2: list[float]
    forwards: list[float]
    backwards: list[float]
    first_success: list[int]
    points: list[int] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)
    first_passes: list[int] = field(default_factory=list)
    first_try: list[int] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)
    stood: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Fill columns of later versions with zeros, and refuse columns that do not fit together."""
        for name in LATER_COLUMNS:
            if not getattr(self, name):
                object.__setattr__(self, name, [0] * len(self.index))
        lengths = {name: len(column) for name, column in self.plain().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of lengths {lengths}")
        if len(set(map(len, self.stood))) > 1 or set("".join(self.stood)) - {"0", "1"}:
            raise ValueError("texts in `stood` that are not made of equally many 0 and 1")
        if strangers := set(self.status) - set(Status):
            raise ValueError(f"the unknown status {described(min(strangers))} in `status`")

    def __eq__(self, other: object) -> bool:
        """Tell whether all columns are equal; columns in a file are compared as arrays, and not cached."""
        if not isinstance(other, Columns):
            return NotImplemented
        if self is other:
            return True
        if stored_of(self) is None or stored_of(other) is None:
            return all(getattr(self, name) == getattr(other, name) for name in NAMES)
        import numpy as np

        pairs = zip(self.arrays(*NAMES), other.arrays(*NAMES), strict=True)
        return all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    def __hash__(self) -> int:
        """Return the same number for equal columns."""
        return hash(self.array("status").tobytes())

    def __len__(self) -> int:
        """Return how many images there are."""
        storage = stored_of(self)
        return len(storage.status if storage else self.index)

    @property
    def draws(self) -> int:
        """How often each image was classified under fresh noise; 0 for a model that is not random."""
        try:
            draws: int = self._stored.near["stood"].shape[1]
        except AttributeError:  # they are lists
            return len(self.stood[0]) if self.stood else 0
        return draws

    def array(self, name: str) -> NDArray[Any]:
        """Return a column as a read-only array.

        Integers have any width, floats are float64, statuses are indices in `STATUSES`, and `stood` has 0 or
        1 in shape (n, draws).

        Raises:
            StorageError: it had to be read from its file again, and the file has changed.
        """
        try:
            backing = self._stored
        except AttributeError:  # they are lists
            return self.arrays(name)[0]
        if not backing.listed:  # the most frequent case on boards
            if name == "status":
                return backing.status
            near: NDArray[Any] | None = backing.near.get(name)
            if near is not None:
                return near
        return self.arrays(name)[0]

    def arrays(self, *names: str) -> tuple[NDArray[Any], ...]:
        """Return several columns like `array`, with one check of the file."""
        storage = stored_of(self)
        if storage is None:
            return tuple([self._from_list(name, getattr(self, name)) for name in names])
        own: dict[str, NDArray[Any]] = storage.near | {"status": storage.status}
        if storage.listed:
            lists = ((name, list_of(self, name)) for name in names)
            own = own | {name: self._from_list(name, one) for name, one in lists if one is not None}
        far = [name for name in names if name not in own]
        if far and storage.rest is not None:
            own = storage.rest | own
        elif far:
            own = own | dict(zip(far, storage.whole().arrays(*far), strict=True))
        return tuple([own[name] for name in names])

    def verdicts(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.uint8]]:
        """Return index, clean, label and status like `array`; boards need these of every record."""
        backing = stored_of(self)
        if backing is None or backing.listed:
            index, clean, label, status = self.arrays("index", "clean", "label", "status")
            return index, clean, label, status
        near = backing.near
        return near["index"], near["clean"], near["label"], backing.status

    def _from_list(self, name: str, values: list[Any]) -> NDArray[Any]:
        import numpy as np

        if name == "status":
            return status_codes(values)
        if name == "stood":
            return unpack_draws(values, len(self), path=name)
        return np.array(values, dtype=np.int64 if KINDS[name] is int else np.float64)

    def released(self, again: Again, key: str) -> Columns:
        """Return the same columns; most of them stay in the file until they are used.

        Args:
            again: reads the columns of a file; called with the key, these statuses and no checksum.
            key: key of the file.
        """
        storage = stored_of(self)
        if storage is None:
            return self
        totals = storage.totals
        if not totals:
            arrays = storage.rest or dict(zip(TOTALS, self.arrays(*TOTALS), strict=True))
            totals = tuple([sum_of(arrays[name]) for name in TOTALS])
        return columns_of(
            Stored(near=storage.near, status=storage.status, totals=totals, again=again, key=key)
        )

    def origin(self) -> Origin:
        """Return the row of an index that the columns come from.

        Raises:
            AttributeError: they come from elsewhere.
        """
        backing = stored_of(self)
        if not isinstance(backing, IndexedColumns):
            raise AttributeError("provenance")
        return backing.origin

    def total(self, name: str) -> float:
        """Return the sum of a column of numbers; for `TOTALS` without reading the file."""
        storage = stored_of(self)
        if storage is not None and name in TOTALS and list_of(self, name) is None:
            total = storage.total(name)
            if total is not None:
                return total
        return sum_of(self.array(name))

    def totals(self) -> tuple[float, ...]:
        """Return the sums of the columns of `TOTALS`."""
        storage = stored_of(self)
        if storage is not None and storage.totals and not storage.listed:
            return storage.totals
        return tuple([self.total(name) for name in TOTALS])

    def compact(self) -> Columns:
        """Return the same columns as arrays, which take less memory than lists."""
        if stored_of(self) is not None:
            return self
        arrays = dict(zip(NAMES, self.arrays(*NAMES), strict=True))
        near, status = {"stood": arrays.pop("stood")}, arrays.pop("status")
        for name in SHARED:
            near[name] = one_of(name, repr(arrays[name].tobytes()), arrays.pop(name))
        rest = {name: thin(column) for name, column in arrays.items()}
        return columns_of(Stored(near=near, status=status, rest=rest))

    def plain(self) -> dict[str, list[Any]]:
        """Return plain JSON data as lists; of `RARE_COLUMNS` only those that are used."""
        columns = {name: getattr(self, name) for name in NAMES}
        absent = {name for name in RARE_COLUMNS if not any(columns[name])}
        return {name: column for name, column in columns.items() if name not in absent}


NAMES = tuple(one.name for one in dataclasses.fields(Columns))


def stored_of(columns: Any) -> Stored | None:
    """Return the stored arrays of columns; None if the columns are lists."""
    try:
        backing: Stored | None = columns._stored
    except AttributeError:
        return None
    return backing


def list_of(columns: Columns, name: str) -> list[Any] | None:
    """Return a column's list if it has one, given or made on use; the caller may have changed it."""
    try:
        return cast("list[Any]", object.__getattribute__(columns, name))
    except AttributeError:
        return None


def columns_of(stored: Stored) -> Columns:
    """Return columns made of checked arrays."""
    columns = object.__new__(Columns)
    object.__setattr__(columns, "_stored", stored)
    return columns
