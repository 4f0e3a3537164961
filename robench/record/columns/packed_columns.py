"""Columns as in a file: each in its shortest form; reading checks every length and kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from robench.record.columns.column_arrays import (
    KINDS,
    SHARED,
    TOTALS,
    Stored,
    no_draws,
    shared_column,
    sum_of_shared,
)
from robench.record.columns.column_encoding import (
    are_numbers,
    pack_draws,
    pack_numbers,
    pack_status,
    unpack_draws,
    unpack_numbers,
    unpack_status,
)
from robench.record.columns.image_columns import (
    LATER_COLUMNS,
    NAMES,
    RARE_COLUMNS,
    Columns,
    columns_of,
    list_of,
    stored_of,
)
from robench.record.strict_json import FieldError, described

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def packed_columns(columns: Columns) -> dict[str, Any]:
    """Return columns as plain JSON data in short forms; see `robench.record.columns.column_encoding`.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    import numpy as np

    storage = stored_of(columns)
    whole = storage.whole() if storage and storage.again else columns
    lists = {name: list_of(columns, name) for name in KINDS}
    draws = columns.draws
    data: dict[str, Any] = {"status": pack_status(columns.array("status"))}
    for name, kind in KINDS.items():
        own = lists[name]
        if name in RARE_COLUMNS and not (whole.array(name) if own is None else np.array(own)).any():
            continue
        data[name] = pack_numbers(whole.array(name) if own is None else own, kind)
    if draws:
        data["stood"] = pack_draws(columns.array("stood"))
    return {name: data[name] for name in NAMES if name in data}


def unpacked_columns(data: Any, *, path: str = "columns") -> Columns:
    """Return the columns from the data of `packed_columns` or `Columns.plain`.

    Raises:
        FieldError: a column is missing, unknown, of another length, or has invalid values; names it.
    """
    near, status, far = _parted(data, path)
    rest = {
        name: unpack_numbers(own, KINDS[name], len(status), path=f"{path}.{name}")
        for name, own in far.items()
    }
    return columns_of(Stored(near=near, status=status, rest=rest))


def checked_columns(data: Any, *, path: str = "columns") -> Columns:
    """Return the same columns, equally checked, but without those that boards rarely need; `TOTALS` as sums.

    A way to read the missing columns must be set (`Columns.released`) before they are used.

    Raises:
        FieldError: as `unpacked_columns`.
    """
    near, status, far = _parted(data, path)
    n = len(status)
    sums: dict[str, float] = {}
    for name, own in far.items():
        if name in TOTALS:
            column = unpack_numbers(own, KINDS[name], n, path=f"{path}.{name}")
            sums[name] = sum_of_shared(column)
        elif not are_numbers(own, KINDS[name], n):
            # It raises the exact error, or accepts a rare form.
            unpack_numbers(own, KINDS[name], n, path=f"{path}.{name}")
    return columns_of(Stored(near=near, status=status, totals=tuple([sums[name] for name in TOTALS])))


def _parted(data: Any, path: str) -> tuple[dict[str, NDArray[Any]], NDArray[np.uint8], dict[str, Any]]:
    """Return the columns that many records share, the statuses, and the others as they are in the file.

    Raises:
        FieldError: one of the first is invalid, or a column is missing or unknown.
    """
    if not isinstance(data, Mapping):
        raise FieldError(expected=f"an object in the field `{path}`", got=described(data))
    if not data.keys() >= _NEEDED:
        missing = next(name for name in NAMES if name in _NEEDED and name not in data)
        raise FieldError(expected=f"a field `{path}.{missing}`", got="none")
    if not data.keys() <= _KNOWN:
        stranger = next(name for name in data if name not in _KNOWN)
        raise FieldError(expected=f"known fields in `{path}`", got=repr(str(stranger)[:80]))
    status = unpack_status(data["status"], path=f"{path}.status")
    n = len(status)  # a letter for each image: so the size of the file limits all other columns
    near: dict[str, NDArray[Any]] = {
        "stood": no_draws(n)
        if data.get("stood", []) == []
        else unpack_draws(data["stood"], n, path=f"{path}.stood"),
    }
    for name in SHARED:
        near[name] = shared_column(name, data[name], n, path=f"{path}.{name}")
    far = {name: data[name] if name in _NEEDED else data.get(name) or _ZERO for name in _FAR}
    return near, status, far


_NEEDED = frozenset(NAMES) - {*LATER_COLUMNS, "stood"}
_KNOWN = frozenset(NAMES)
_FAR = tuple(name for name in KINDS if name not in SHARED)
_ZERO = {"same": 0}
"""Replaces a column that a record of an earlier version does not have."""
