"""An index of a run folder: the data of its records that boards need, so that not all records are read again.

The file `index.bin` in the run folder is safe to delete: it can always be made again, and nothing depends on
it. A row is valid only while the file of its record has the same size, times of last change (of content and
of inode, in nanoseconds), inode and device as when the whole file was read and its checksum was right. In all
other cases the record itself is read: other stamps, a record that is not in the index, an index that is
damaged, truncated or of another version. The index cannot notice a disk that returns other bytes than were
written; docs/scale.md says so, and `robench verify` and `robench run` read every byte. A run makes the index
at its end from the records that it has read, so that the first table after it is fast.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robench.errors import StorageError
from robench.record.files import sweep
from robench.record.index.index_file import INDEX, DamagedIndexError, pieces_of, write_index
from robench.record.index.index_layout import PieceError, Reading, Stamp
from robench.record.index.index_pieces import Share, groups, is_settled, pieces_of_share, shares_of
from robench.record.index.index_readers import MOST_PROCESSES, pieces_by_processes, usable_cores
from robench.record.index.index_rows import Piece
from robench.record.index.index_writing import packed_rows
from robench.record.planned import PlannedRun
from robench.record.schema import Record

if TYPE_CHECKING:
    from robench.record.columns.column_arrays import Again

FEWEST = 1000
"""With fewer records there is no index: reading all takes less than half a second."""
SETTLED_NS = 2_000_000_000
"""A file must be unchanged for so long before it is read, because file clocks may be that coarse."""
MANY = 4000
"""More unread records than these are read by several processes; for fewer, starting them takes longer."""
SAMPLE = 32
"""So many of them are tried first: if most cannot be in an index, the others probably cannot either."""


class Index:
    """The index of a run folder, for one reading; must be closed.

    Args:
        root: the run folder.
        again: reads the columns of a record.
        planned: the plan of the folder.
        anew: ignore an earlier index: read every record, and make the index of all of them.

    Raises:
        OSError: the folder of records cannot be opened.
    """

    def __init__(self, root: Path, again: Again, planned: PlannedRun | None, *, anew: bool = False) -> None:
        self._path = root / INDEX
        self._folder = os.open(root / "units", os.O_RDONLY)
        self._again, self._planned = again, planned
        self._pieces: list[Piece] = []
        self._used: list[int] = []
        self._piece = self._row = 0  # place of the last record: the next record often follows it
        self._places: dict[str, tuple[int, int]] | None = None
        self._made: list[bytes] = []  # new pieces after the old ones, from records that were just read
        self._older = 0
        self._fresh: list[Reading] = []
        if anew:
            return
        with contextlib.suppress(DamagedIndexError, PieceError):
            pieces = [Piece(data) for data in pieces_of(self._path)]
            self._pieces, self._used, self._older = pieces, [0] * len(pieces), len(pieces)

    def read_many(self, keys: Sequence[str]) -> None:
        """Read many records into new pieces, by several processes if there are enough cores.

        Then `record` finds those that an index can store. Other records, and damaged ones, must be read one
        by one by the caller. The pieces do not depend on the process that makes them.

        Args:
            keys: keys of the records; none of them is in the index.
        """
        if len(keys) <= MANY:
            return
        root = self._path.parent
        sample = Share(str(root), list(keys[:: -(-len(keys) // SAMPLE)]), SETTLED_NS)
        if 2 * sum(len(Piece(data).keys) for data in pieces_of_share(sample)) < len(sample.keys):
            return
        shares = shares_of(root, keys, SETTLED_NS)
        answers = pieces_by_processes(shares, min(usable_cores(), MOST_PROCESSES))
        self._piece, self._row, self._places = len(self._pieces), 0, None
        for share, answer in zip(shares, answers, strict=True):
            if answer is None or not self._take_up(answer, share):
                self._take_up(pieces_of_share(share), share)

    def _take_up(self, answer: list[bytes], share: Share) -> bool:
        """Add the pieces of a share, and tell whether they are valid."""
        try:
            pieces = [Piece(data, in_place=True) for data in answer]
        except PieceError:
            return False
        if not {key for piece in pieces for key in piece.keys} <= set(share.keys):
            return False
        self._made += answer
        self._pieces += pieces
        self._used += [0] * len(pieces)
        return True

    def stamp(self, key: str) -> Stamp | None:
        """Return the stamp of the file of a record, None if it has none."""
        try:
            return Stamp.of(os.stat(f"{key}.json", dir_fd=self._folder))
        except (OSError, ValueError):  # ValueError: not a possible file name
            return None

    def record(self, key: str) -> Record | None:
        """Return the record of a key from the index, None if it is not there or its file has changed."""
        place = self._next(key) or self._last(key)
        if place is None:
            return None
        if place[0] < self._older:
            place = self._unchanged(key, place)
        if place is None:
            return None
        number, row = place
        self._used[number] += 1
        return self._pieces[number].record(row, key, self._again, self._planned)

    def _unchanged(self, key: str, place: tuple[int, int]) -> tuple[int, int] | None:
        """Return a row of this key with the stamp of the file, this row or the key's last one; else None."""
        try:
            now = os.stat(f"{key}.json", dir_fd=self._folder)
        except (OSError, ValueError):
            return None
        stamp = (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, now.st_dev)
        if stamp != self._pieces[place[0]].stamps[place[1]]:
            last = self._last(key)  # a row added later
            if last is None or (last[0] < self._older and stamp != self._pieces[last[0]].stamps[last[1]]):
                return None
            return last
        return place

    def _next(self, key: str) -> tuple[int, int] | None:
        """Return the place after that of the last record if this key is there, as it usually is."""
        if self._piece < len(self._pieces):
            keys = self._pieces[self._piece].keys
            if self._row < len(keys) and keys[self._row] == key:
                place = self._piece, self._row
                self._row += 1
                if self._row == len(keys):
                    self._pieces[self._piece].close()
                    self._piece, self._row = self._piece + 1, 0
                return place
        return None

    def _last(self, key: str) -> tuple[int, int] | None:
        """Return the last place of a key."""
        if self._places is None:
            pieces = enumerate(self._pieces)
            self._places = {own: (at, row) for at, piece in pieces for row, own in enumerate(piece.keys)}
        place = self._places.get(key)
        if place is not None:
            self._piece, self._row = place[0], place[1] + 1
        return place

    def add(self, record: Record, digest: str, before: Stamp | None) -> None:
        """Add a record that was read completely.

        Args:
            record: the record as it is in its file.
            digest: the checksum in it; empty if there is none.
            before: the stamp of the file before it was read.
        """
        if before is None:
            return
        if is_settled(record, digest, before, self.stamp(record.key), SETTLED_NS):
            self._fresh.append(Reading(record, digest, before))

    def close(self) -> None:
        """Free the data that is only needed to find records."""
        os.close(self._folder)
        for piece in self._pieces:
            piece.close()

    def write(self) -> None:
        """Write the index if enough records are new; a failure to write is ignored.

        A piece of the old index is copied if at least half of its rows are still valid.
        """
        older, newer = self._pieces[: self._older], self._pieces[self._older :]
        if sum(len(piece.keys) for piece in newer) + len(self._fresh) < FEWEST:
            return
        useful = [2 * count > len(piece.keys) for count, piece in zip(self._used, older, strict=False)]
        with contextlib.suppress(StorageError, DamagedIndexError):
            sweep(self._path.parent)
            write_index(self._path, self._all(useful))

    def _all(self, useful: list[bool]) -> Iterator[bytes]:
        if any(useful):
            # Another process may have written an index since: then its pieces are used, which are as good.
            yield from (data for data, keep in zip(pieces_of(self._path), useful, strict=False) if keep)
        yield from self._made
        yield from map(packed_rows, groups(self._fresh))
