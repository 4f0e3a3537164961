"""An index of a run folder: what boards need of its records, so that not every one is read each time.

It can always be made again, and nothing else depends on it: `index.bin` in the run folder, safe to delete.
A row is believed only while the file of its record has the same size, times of last change (of content and of
inode, in nanoseconds), inode and device as when it was read as a whole and its checksum was right. Whatever
does not fit is read from its record: other stamps, a record that is not in the index, an index that is
damaged, cut off or of another version. What that cannot notice is a disk that gives other bytes back than
were written; docs/scale.md says so, and `robench verify` and `robench run` read every byte. A run that ends
makes the index of what it has read then, so that the first table after it need not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robench.errors import StorageError
from robench.record.files import sweep
from robench.record.index_file import INDEX, DamagedIndexError, pieces_of, write_index
from robench.record.index_layout import PieceError, Reading, Stamp
from robench.record.index_pieces import Share, groups, is_settled, pieces_of_share, shares_of
from robench.record.index_readers import MOST_PROCESSES, pieces_by_processes, usable_cores
from robench.record.index_rows import Piece
from robench.record.index_writing import packed_rows
from robench.record.planned import PlannedRun
from robench.record.schema import Record

if TYPE_CHECKING:
    from robench.record.column_arrays import Again

FEWEST = 1000
"""Fewer records are read at once, and never indexed: it takes less than half a second."""
SETTLED_NS = 2_000_000_000
"""A file must not have changed for so long before it is read: a clock of files may tick that seldom."""
MANY = 4000
"""More records than these are read anew by several processes; below, starting them would take longer."""
SAMPLE = 32
"""So many of them are tried first: where most cannot be in an index, the others hardly can."""


class Index:
    """The index of a run folder, for reading it once; to be closed.

    Args:
        root: the run folder.
        again: reads the columns of a record.
        planned: what the plan of the folder asks for.
        anew: believe nothing of an earlier index: every record is read, and the index made of all of them.

    Raises:
        OSError: the folder of records cannot be opened.
    """

    def __init__(self, root: Path, again: Again, planned: PlannedRun | None, *, anew: bool = False) -> None:
        self._path = root / INDEX
        self._folder = os.open(root / "units", os.O_RDONLY)
        self._again, self._planned = again, planned
        self._pieces: list[Piece] = []
        self._used: list[int] = []
        self._piece = self._row = 0  # where the last record was found: the next one is often behind it
        self._places: dict[str, tuple[int, int]] | None = None
        self._made: list[bytes] = []  # the pieces behind the older ones: their records were read just now
        self._older = 0
        self._fresh: list[Reading] = []
        if anew:
            return
        with contextlib.suppress(DamagedIndexError, PieceError):
            pieces = [Piece(data) for data in pieces_of(self._path)]
            self._pieces, self._used, self._older = pieces, [0] * len(pieces), len(pieces)

    def read_many(self, keys: Sequence[str]) -> None:
        """Read many records into pieces of their own, where there are cores for it by several processes.

        Then `record` knows those that an index can hold. The others, and those that are damaged, are left to
        who asks for them one by one. The pieces are the same whoever makes them.

        Args:
            keys: of the records, none of which the index knows.
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
        """Add the pieces of a share to those that are known, and tell whether they are any."""
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
        """Return the stamp of the file of a record, None where there is none that can be told."""
        try:
            return Stamp.of(os.stat(f"{key}.json", dir_fd=self._folder))
        except (OSError, ValueError):  # ValueError: no such key
            return None

    def record(self, key: str) -> Record | None:
        """Return the record of a key as it is in the index, None where it is not, or its file has changed."""
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
        """Return the place of a row whose file has its stamp, this one or the last of its key; else None."""
        try:
            now = os.stat(f"{key}.json", dir_fd=self._folder)
        except (OSError, ValueError):
            return None
        stamp = (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, now.st_dev)
        if stamp != self._pieces[place[0]].stamps[place[1]]:
            last = self._last(key)  # a row that was added later
            if last is None or (last[0] < self._older and stamp != self._pieces[last[0]].stamps[last[1]]):
                return None
            return last
        return place

    def _next(self, key: str) -> tuple[int, int] | None:
        """Return the place behind that of the last record, if it is this one's: most often it is."""
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
        """Take up a record that was read as a whole.

        Args:
            record: as it is in its file.
            digest: the checksum in it; empty where there is none.
            before: the stamp of the file before it was read.
        """
        if before is None:
            return
        if is_settled(record, digest, before, self.stamp(record.key), SETTLED_NS):
            self._fresh.append(Reading(record, digest, before))

    def close(self) -> None:
        """Forget what only serves to find records."""
        os.close(self._folder)
        for piece in self._pieces:
            piece.close()

    def write(self) -> None:
        """Write the index where enough records are new to it; a disk that refuses is no matter.

        Pieces of the old one are copied where half of their rows still serve.
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
            # Another process may have written one since: then as many of its pieces, which are as good.
            yield from (data for data, keep in zip(pieces_of(self._path), useful, strict=False) if keep)
        yield from self._made
        yield from map(packed_rows, groups(self._fresh))
