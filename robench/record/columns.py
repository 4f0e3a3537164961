"""What a record says of each image: lists for who writes or looks at them, arrays for who counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from robench.record.packing import (
    STATUSES,
    Status,
    narrowest,
    pack_draws,
    pack_numbers,
    pack_status,
    status_codes,
    unpack_draws,
    unpack_numbers,
    unpack_status,
)
from robench.record.reader import FieldError, described

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.record.parts import Provenance

    Again = Callable[[str, NDArray[np.uint8], str], "Columns"]

LATER_COLUMNS = ("points", "tries", "first_passes", "first_try", "distance")
"""Columns that records of earlier versions do not have."""

RARE_COLUMNS = ("distance", "stood")
"""Columns that most records have no use for; these do not write them."""

_KINDS: dict[str, type] = {
    "index": int, "label": int, "clean": int, "adversarial": int, "linf": float, "l2": float,
    "forwards": float, "backwards": float, "first_success": int, "points": int, "tries": int,
    "first_passes": int, "first_try": int, "distance": float,
}  # fmt: skip
"""Columns of numbers."""

SHARED = ("index", "label", "clean")
"""Columns that many records have alike: one array serves them all."""

TOTALS = ("forwards", "backwards")
"""Columns of which tables show the sum alone."""

_MOST_SHARED = 2**14
_shared: dict[tuple[str, str, int], NDArray[np.int64]] = {}


@dataclass(slots=True, kw_only=True)
class _Stored:
    """Columns as arrays, as a file holds them.

    Attributes:
        near: index, label, clean and stood, which many records have alike.
        status: places in `STATUSES`.
        totals: sums of the columns of `TOTALS`, kept where the columns themselves are not.
        rest: the others; None where `again` reads them when they are asked for.
        again: returns the columns of the file of a key, which had these statuses, and this checksum or none.
        key: of the file.
        listed: whether any of them was asked for as a list, which its owner may have changed since.
    """

    near: dict[str, Any]
    status: NDArray[np.uint8]
    rest: dict[str, NDArray[Any]] | None = None
    totals: tuple[float, ...] = ()
    again: Again | None = None
    key: str = ""
    listed: bool = False

    def whole(self) -> Columns:
        """Return the columns, read from the file once more."""
        assert self.again is not None
        return self.again(self.key, self.status, "")

    def total(self, name: str) -> float | None:
        """Return the sum of a column of `TOTALS`, None where the column itself is at hand."""
        return self.totals[TOTALS.index(name)] if self.totals else None


class Origin(Protocol):
    """A row of an index, which tells what its record has."""

    def provenance(self) -> Provenance:
        """Return how the record was made."""

    def conditions(self) -> Provenance:
        """Return the same without what no other record has."""

    def total(self, place: int) -> float:
        """Return the sum of a column of `TOTALS`."""

    def digest(self) -> str:
        """Return the checksum of the record."""


@dataclass(slots=True, kw_only=True)
class IndexedColumns(_Stored):
    """Columns of which an index told what boards need; the rest is read from the file.

    Attributes:
        origin: the row of the index.
    """

    origin: Origin

    def whole(self) -> Columns:
        """Return the columns, read from the file that the index was made from."""
        assert self.again is not None
        return self.again(self.key, self.status, self.origin.digest())

    def total(self, name: str) -> float:
        """Return the sum of a column of `TOTALS`."""
        return self.origin.total(TOTALS.index(name))


class _Lazy:
    """A list that was not asked for yet is made from what the file holds."""

    __slots__ = ("_stored",)

    if not TYPE_CHECKING:  # a name that is no column must not look like one to the type checker

        def __getattr__(self, name: str) -> Any:
            if name not in _NAMES or _stored_of(self) is None:
                raise AttributeError(name)
            column = self.array(name)
            if name == "status":
                column = [STATUSES[code] for code in column.tolist()]
            elif name == "stood":
                column = ["".join(map(str, draws)) for draws in column.tolist()] if column.shape[1] else []
            else:
                column = column.tolist()
            _stored_of(self).listed = True
            object.__setattr__(self, name, column)
            return column


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns(_Lazy):
    """One entry per image, all lists of the same length.

    Attributes:
        index: position in the full split.
        label: true class.
        clean: predicted class of the clean image, -1 if the output was not a number, -2 if it was a tie.
        adversarial: predicted class of the proposed image after the judge's checks.
        status: a Status.
        linf: largest pixel change.
        l2: Euclidean size of the change.
        forwards: forward passes the attack spent on the source.
        backwards: backward passes the attack spent on the source.
        first_success: how many points the attack had tried on the source at its first success there, 0 if
            never or unknown; it is not asked about its last point, unless the image had fallen before.
        points: how many points it tried, 0 if unknown.
        tries: how many fresh starts it made, 0 if unknown.
        first_passes: forwards plus backwards spent at the first success, 0 if never or unknown.
        first_try: the fresh start of the first success, from 1; 0 if never or unknown.
        distance: size of the change in the norm of a threat that neither `linf` nor `l2` measures, L1 or L0;
            0 under the others.
        stood: of a random model one text per image, such as `1101`: whether it stood (1) in each fresh draw
            of noise, at the judged point; empty for any other. `status` is of the draw that was attacked.

    Columns that a record of an earlier version does not have are 0 throughout.

    Raises:
        TypeError: one of the others is missing.
        ValueError: the columns are not of one length, a status is unknown, or `stood` is not made of equally
            many 0 and 1.
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
        """Fill columns that came later with zeros, and refuse what does not fit together."""
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
        """Tell whether all columns are the same; those in a file are compared as arrays, and not kept."""
        if not isinstance(other, Columns):
            return NotImplemented
        if self is other:
            return True
        if _stored_of(self) is None or _stored_of(other) is None:
            return all(getattr(self, name) == getattr(other, name) for name in _NAMES)
        import numpy as np

        pairs = zip(self.arrays(*_NAMES), other.arrays(*_NAMES), strict=True)
        return all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    def __hash__(self) -> int:
        """Return a number that equal ones share."""
        return hash(self.array("status").tobytes())

    def __len__(self) -> int:
        """Return how many images there are."""
        storage = _stored_of(self)
        return len(storage.status if storage else self.index)

    @property
    def draws(self) -> int:
        """How often each image was asked about under fresh noise; 0 for a model that is not random."""
        storage = _stored_of(self)
        if storage is None:
            return len(self.stood[0]) if self.stood else 0
        draws: int = storage.near["stood"].shape[1]
        return draws

    def array(self, name: str) -> NDArray[Any]:
        """Return a column as an array that must not be written to.

        Whole numbers are of some width, others float64, statuses places in `STATUSES`, and `stood` is 0 or 1
        of shape (n, draws).

        Raises:
            StorageError: it had to be read from its file once more, and that is no longer what it was.
        """
        backing = _stored_of(self)
        if backing is not None and not backing.listed:  # boards ask for these most of the time
            if name == "status":
                return backing.status
            near: NDArray[Any] | None = backing.near.get(name)
            if near is not None:
                return near
        return self.arrays(name)[0]

    def arrays(self, *names: str) -> tuple[NDArray[Any], ...]:
        """Return several columns as `array` does, with one look at the file."""
        storage = _stored_of(self)
        if storage is None:
            return tuple([self._from_list(name, getattr(self, name)) for name in names])
        own: dict[str, NDArray[Any]] = storage.near | {"status": storage.status}
        if storage.listed:
            lists = ((name, _list_of(self, name)) for name in names)
            own = own | {name: self._from_list(name, one) for name, one in lists if one is not None}
        far = [name for name in names if name not in own]
        if far and storage.rest is not None:
            own = storage.rest | own
        elif far:
            own = own | dict(zip(far, storage.whole().arrays(*far), strict=True))
        return tuple([own[name] for name in names])

    def verdicts(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.uint8]]:
        """Return index, clean, label and status as `array` does; what boards ask of every record."""
        backing = _stored_of(self)
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
        return np.array(values, dtype=np.int64 if _KINDS[name] is int else np.float64)

    def released(self, again: Again, key: str) -> Columns:
        """Return the same columns with most of them left in the file until they are asked for.

        Args:
            again: reads the columns of a file; called with the key, these statuses and no checksum.
            key: of the file.
        """
        storage = _stored_of(self)
        if storage is None:
            return self
        arrays = storage.rest or dict(zip(TOTALS, self.arrays(*TOTALS), strict=True))
        totals = tuple([_sum(arrays[name]) for name in TOTALS])
        return columns_of(
            _Stored(near=storage.near, status=storage.status, totals=totals, again=again, key=key)
        )

    def origin(self) -> Origin:
        """Return the row of an index that the columns come from.

        Raises:
            AttributeError: they come from elsewhere.
        """
        backing = _stored_of(self)
        if not isinstance(backing, IndexedColumns):
            raise AttributeError("provenance")
        return backing.origin

    def total(self, name: str) -> float:
        """Return the sum of a column of numbers; those of `TOTALS` are not read from the file for it."""
        storage = _stored_of(self)
        if storage is not None and name in TOTALS and _list_of(self, name) is None:
            total = storage.total(name)
            if total is not None:
                return total
        return _sum(self.array(name))

    def compact(self) -> Columns:
        """Return the same columns as arrays, which take less memory than lists."""
        if _stored_of(self) is not None:
            return self
        arrays = dict(zip(_NAMES, self.arrays(*_NAMES), strict=True))
        near, status = {"stood": arrays.pop("stood")}, arrays.pop("status")
        for name in SHARED:
            near[name] = _one_of(name, repr(arrays[name].tobytes()), arrays.pop(name))
        rest = {name: _thin(column) for name, column in arrays.items()}
        return columns_of(_Stored(near=near, status=status, rest=rest))

    def plain(self) -> dict[str, list[Any]]:
        """Return plain JSON data as lists; of `RARE_COLUMNS` those that say something."""
        columns = {name: getattr(self, name) for name in _NAMES}
        absent = {name for name in RARE_COLUMNS if not any(columns[name])}
        return {name: column for name, column in columns.items() if name not in absent}

    def packed(self) -> dict[str, Any]:
        """Return plain JSON data in short forms; see `robench.record.packing`.

        Raises:
            ValueError: a number is NaN or infinite.
        """
        import numpy as np

        storage = _stored_of(self)
        whole = storage.whole() if storage and storage.again else self
        data: dict[str, Any] = {"status": pack_status(self.array("status"))}
        for name, kind in _KINDS.items():
            own = _list_of(self, name)
            if name in RARE_COLUMNS and not (whole.array(name) if own is None else np.array(own)).any():
                continue
            data[name] = pack_numbers(whole.array(name) if own is None else own, kind)
        if self.draws:
            data["stood"] = pack_draws(self.array("stood"))
        return {name: data[name] for name in _NAMES if name in data}

    @classmethod
    def unpack(cls, data: Any, *, path: str = "columns") -> Columns:
        """Return what `packed` or `plain` gave.

        Raises:
            FieldError: a column is missing, unknown, of another length, or holds what it must not; names it.
        """
        if not isinstance(data, Mapping):
            raise FieldError(expected=f"an object in the field `{path}`", got=described(data))
        for name in _NAMES:
            if name not in data and name not in {*LATER_COLUMNS, "stood"}:
                raise FieldError(expected=f"a field `{path}.{name}`", got="none")
        if strangers := [name for name in data if name not in _NAMES]:
            raise FieldError(expected=f"known fields in `{path}`", got=repr(str(strangers[0])[:80]))
        status = unpack_status(data["status"], path=f"{path}.status")
        n = len(status)  # a letter for each image: so the size of the file bounds what follows
        near: dict[str, NDArray[Any]] = {
            "stood": no_draws(n)
            if data.get("stood", []) == []
            else unpack_draws(data["stood"], n, path=f"{path}.stood"),
        }
        rest: dict[str, NDArray[Any]] = {}
        for name, kind in _KINDS.items():
            own, place = data.get(name, {"same": 0}) or {"same": 0}, f"{path}.{name}"
            if name not in LATER_COLUMNS:
                own = data[name]
            if name in SHARED:
                near[name] = shared_column(name, own, n, path=place)
            else:
                rest[name] = unpack_numbers(own, kind, n, path=place)
        return columns_of(_Stored(near=near, status=status, rest=rest))


_NAMES = tuple(one.name for one in dataclasses.fields(Columns))


def _sum(column: NDArray[Any]) -> float:
    import numpy as np

    with np.errstate(over="ignore"):  # of numbers that no attack can have: infinity
        return float(column.sum())


@lru_cache(maxsize=64)
def no_draws(n: int) -> NDArray[np.uint8]:
    """Return how images of a model that is not random stood: (n, 0)."""
    return unpack_draws([], n, path="stood")


def shared_column(name: str, data: Any, n: int, *, path: str) -> NDArray[np.int64]:
    """Return a column of `SHARED` from its JSON form: of two records with the same one, the same array.

    Raises:
        FieldError: as `unpack_numbers`.
    """
    mark = (name, repr(data), n)
    column = _shared.get(mark)
    if column is None:
        column = _one_of(name, mark[1], unpack_numbers(data, _KINDS[name], n, path=path))
    return column


def _stored_of(columns: Any) -> _Stored | None:
    try:
        backing: _Stored | None = columns._stored
    except AttributeError:
        return None
    return backing


def _list_of(columns: Columns, name: str) -> list[Any] | None:
    """Return a column as the list that it was given or became, and that its owner may have changed."""
    try:
        return cast("list[Any]", object.__getattribute__(columns, name))
    except AttributeError:
        return None


def columns_of(stored: _Stored) -> Columns:
    """Return columns of checked arrays."""
    columns = object.__new__(Columns)
    object.__setattr__(columns, "_stored", stored)
    return columns


def _one_of(name: str, mark: str, column: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an array that all records with the same column share."""
    if len(_shared) >= _MOST_SHARED:
        _shared.clear()
    if name != "index" and len(column):
        column = column.astype(narrowest(column))
    column.setflags(write=False)
    return _shared.setdefault((name, mark, len(column)), column)


def _thin(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column of one value throughout as a view of one entry."""
    import numpy as np

    if len(column) and (column.view("u8") == column[:1].view("u8")).all():
        return np.broadcast_to(column[:1].copy(), column.shape)
    return column
