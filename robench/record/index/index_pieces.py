"""Makes pieces of an index from the files of records; each file is read and checked completely."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from robench.errors import StorageError
from robench.record.folder import RunFolder
from robench.record.index.index_layout import MOST_ROWS, Reading, Stamp, can_hold
from robench.record.index.index_writing import packed_rows
from robench.record.record_file import read_record
from robench.record.schema import Record

SHARES = 8
"""Many records are divided into at least so many shares, so that processes have about equal work."""
MOST_IMAGES = 2**26
"""Most images times draws in the rows of one piece."""


class Share(NamedTuple):
    """Records that one process reads in one task.

    Attributes:
        root: the run folder.
        keys: keys of the records, at most as many as a piece has rows.
        settled_ns: a file must be unchanged for so long before it is read.
    """

    root: str
    keys: list[str]
    settled_ns: int


def shares_of(root: Path, keys: Sequence[str], settled_ns: int) -> list[Share]:
    """Divide many records into shares; shares, and so their pieces, depend on the records alone."""
    size = max(1, min(MOST_ROWS, -(-len(keys) // SHARES)))
    return [Share(str(root), list(keys[at : at + size]), settled_ns) for at in range(0, len(keys), size)]


def pieces_of_share(share: Share, *, go_on: Callable[[], bool] = lambda: True) -> list[bytes]:
    """Return the pieces of an index for the records of a share, without records that cannot be in it.

    Unreadable or damaged records are left out too: reading them again gives the error.

    Args:
        share: the records.
        go_on: called before every record; tells whether to continue.

    Raises:
        InterruptedError: `go_on` returned False.
    """
    return [packed_rows(group) for group in groups(_readings(share, go_on))]


def _readings(share: Share, go_on: Callable[[], bool]) -> Iterator[Reading]:
    folder = RunFolder(Path(share.root))
    for key in share.keys:
        if not go_on():
            raise InterruptedError("nobody waits for the pieces any more")
        try:
            path = folder.unit_file(key)
            record, digest, status = read_record(path, key, light=True)
            before = Stamp.of(status)
            after = Stamp.of(os.stat(path))
        except (OSError, ValueError, StorageError):
            continue
        if is_settled(record, digest, before, after, share.settled_ns):
            yield Reading(record, digest, before)


def is_settled(record: Record, digest: str, before: Stamp, after: Stamp | None, settled_ns: int) -> bool:
    """Tell whether a record that was read completely can be in an index.

    Args:
        record: the record as it is in its file.
        digest: the checksum in it; empty if there is none.
        before: the stamp of the file before it was read.
        after: the stamp of the file after it was read; None if the file is gone.
        settled_ns: the file must be unchanged for so long before it was read.
    """
    if not digest or min(before) < 0 or not can_hold(record):
        return False
    return before.ctime_ns <= time.time_ns() - settled_ns and after == before


def groups(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Yield readings in groups; each group fits into a piece."""
    group: list[Reading] = []
    images = 0
    for reading in readings:
        own = len(reading.record.columns) * (1 + reading.record.draws)
        if group and (len(group) == MOST_ROWS or images + own > MOST_IMAGES):
            yield group
            group, images = [], 0
        group.append(reading)
        images += own
    if group:
        yield group
