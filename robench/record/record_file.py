"""The file of one record: read as a whole, and every byte of it checked."""

from __future__ import annotations

from pathlib import Path

from robench.errors import StorageError
from robench.record.files import MOST_RECORD, read_text
from robench.record.schema import Record
from robench.record.seal import is_cut, seal_of


def read_record(path: Path | str, key: str, *, light: bool = False) -> tuple[Record, str]:
    """Return the record in a file, and the checksum in it, empty where it has none.

    Args:
        path: the file.
        key: of the unit that it must be about.
        light: keep of its columns what boards need of them alone; see `Record.from_json`.

    Raises:
        StorageError: missing, half-written, foreign, or of another unit; names the file.
    """
    where = str(path)
    text = read_text(path, most=MOST_RECORD)
    if text is None:
        raise StorageError(where=where, expected="a record", got="no such file")
    record = Record.from_json(text, where=where, light=light)
    if is_cut(text):
        raise StorageError(where=where, expected="a whole record", got="one that lost its end")
    if record.key != key:
        got, do = f"one of {record.key[:80]!r}", "Delete the file and run the same command again"
        raise StorageError(where=where, expected=f"the record of unit {key!r}", got=got, do=do)
    return record, seal_of(text)
