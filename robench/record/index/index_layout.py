"""The byte layout of an index: the data of many records that a board needs, and stamps of their files.

A piece of the index is one text of JSON and arrays behind it, all little-endian::

    u8 length of the text, the text, spaces up to a multiple of 8
    u8 (count, 5)   the file: size, mtime_ns, ctime_ns, inode, device
    i4 (count, 11)  places in the lists of the text: `PLACES`
    i4 (count, 2)   images, draws
    f8 (count, 2)   sums of the columns of `TOTALS`
    u1 (count, 32)  the checksum in the file
    u1              statuses of all images
    u1              outcomes of all draws

Equal parts of records are in the text once. Only sealed records of the present schema without certificates
are put into an index.
"""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

from robench.record.columns.column_arrays import SHARED
from robench.record.parts import (
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.schema import RECORD_SCHEMA, Record

VERSION = 1
MOST_ROWS = 2**13
"""Most rows of a piece."""
PLACES = (
    "target", "source", "attack", "threat", "dataset", "seed", "findings", "conditions", *SHARED,
)  # fmt: skip
PARTS: dict[str, Any] = {
    "target": RecordedTarget, "source": RecordedSource, "attack": RecordedAttack,
    "threat": RecordedThreat, "dataset": RecordedDataset,
}  # fmt: skip
FILE_NUMBERS = 5
DIGEST_BYTES = 32


class Stamp(NamedTuple):
    """State of a file, to tell whether it changed since it was read: any write changes the stamp."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return the stamp of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


class Reading(NamedTuple):
    """A record, the checksum in its file, and the stamp that the file had before it was read."""

    record: Record
    digest: str
    stamp: Stamp


class PieceError(ValueError):
    """Not a valid piece of an index."""


def can_hold(record: Record) -> bool:
    """Tell whether a record can be stored in an index."""
    finite = all(map(math.isfinite, record.columns.totals()))
    return finite and record.schema == RECORD_SCHEMA and record.certificates is None
