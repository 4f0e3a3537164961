"""Columns as a file holds them: each in its shortest form, read again with every length and kind checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from robench.record.column_arrays import KINDS, SHARED, Stored, no_draws, shared_column
from robench.record.column_encoding import (
    pack_draws,
    pack_numbers,
    pack_status,
    unpack_draws,
    unpack_numbers,
    unpack_status,
)
from robench.record.columns import LATER_COLUMNS, NAMES, RARE_COLUMNS, Columns, columns_of, list_of, stored_of
from robench.record.strict_json import FieldError, described

if TYPE_CHECKING:
    from numpy.typing import NDArray


def packed_columns(columns: Columns) -> dict[str, Any]:
    """Return columns as plain JSON data in short forms; see `robench.record.column_encoding`.

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
    """Return the columns of what `packed_columns` or `Columns.plain` gave.

    Raises:
        FieldError: a column is missing, unknown, of another length, or holds what it must not; names it.
    """
    if not isinstance(data, Mapping):
        raise FieldError(expected=f"an object in the field `{path}`", got=described(data))
    for name in NAMES:
        if name not in data and name not in {*LATER_COLUMNS, "stood"}:
            raise FieldError(expected=f"a field `{path}.{name}`", got="none")
    if strangers := [name for name in data if name not in NAMES]:
        raise FieldError(expected=f"known fields in `{path}`", got=repr(str(strangers[0])[:80]))
    status = unpack_status(data["status"], path=f"{path}.status")
    n = len(status)  # a letter for each image: so the size of the file bounds what follows
    near: dict[str, NDArray[Any]] = {
        "stood": no_draws(n)
        if data.get("stood", []) == []
        else unpack_draws(data["stood"], n, path=f"{path}.stood"),
    }
    rest: dict[str, NDArray[Any]] = {}
    for name, kind in KINDS.items():
        own, place = data.get(name, {"same": 0}) or {"same": 0}, f"{path}.{name}"
        if name not in LATER_COLUMNS:
            own = data[name]
        if name in SHARED:
            near[name] = shared_column(name, own, n, path=place)
        else:
            rest[name] = unpack_numbers(own, kind, n, path=place)
    return columns_of(Stored(near=near, status=status, rest=rest))
