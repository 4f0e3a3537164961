"""Reads the file of one record completely, and checks every byte."""

from __future__ import annotations

import os
from pathlib import Path

from robench.errors import StorageError
from robench.record.files import MOST_RECORD, decoded, read_stamped
from robench.record.schema import Record
from robench.record.seal import is_cut, seal_of


def read_record(path: Path | str, key: str, *, light: bool = False) -> tuple[Record, str, os.stat_result]:
    """Return the record in a file, its checksum ('' if it has none), and the file's state before reading.

    Args:
        path: the file.
        key: the unit's key, which the record must have.
        light: keep only the column data that boards need; see `Record.from_json`.

    Raises:
        StorageError: missing, half-written, foreign, or of another unit; names the file.
    """
    where = str(path)
    try:
        data, status = read_stamped(path, most=MOST_RECORD)
    except FileNotFoundError:
        raise StorageError(where=where, expected="a record", got="no such file") from None
    text = decoded(path, data)
    record = Record.from_json(text, where=where, light=light)
    if is_cut(text):
        raise StorageError(where=where, expected="a complete record", got="one without its end")
    if record.key != key:
        got, do = f"one of {record.key[:80]!r}", "Delete the file and run the same command again"
        raise StorageError(where=where, expected=f"the record of unit {key!r}", got=got, do=do)
    return record, seal_of(text), status
