"""Where certificates are written: beside those of other commands, which are not overwritten."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from robench.errors import StorageError
from robench.record.files import MOST_TEXT, read_regular
from robench.record.store import Store
from robench.run.progress import Reporter


def write_certificates(store: Store, model: str, text: str, reporter: Reporter) -> Path:
    """Write a table of certificates into `certified-MODEL.csv`, or the first free name after it.

    The same table again is not written twice.

    Args:
        store: the run folder.
        model: name of the model.
        text: the table, as CSV.
        reporter: told the path if it is not the usual one.

    Raises:
        StorageError: writing to disk failed.
    """
    first = store.root / f"certified-{model}.csv"
    for number in count(1):
        path = first if number == 1 else first.with_name(f"certified-{model}-{number}.csv")
        try:
            before = read_regular(path, most=MOST_TEXT)
        except StorageError:  # not readable as text: it is not overwritten
            continue
        if before is None or before == text.encode():
            break
    if path != first:
        reporter.finding(f"{first} holds other certificates, which stay; these are in {path.name}")
    if before is None:
        store.write_text(path.name, text)
    return path
