"""The file of an index: pieces one after another, then the length and the checksum of each.

Layout, little-endian::

    the pieces
    for each piece: u8 length, its SHA-256 (32 bytes)
    u8 number of pieces, SHA-256 of all since the last piece, `MAGIC`

It is written beside the old index and replaces it atomically. A file with one changed bit is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from robench.errors import StorageError
from robench.record.files import open_regular, write_pieces

INDEX = "index.bin"
MAGIC = b"robench index 1\n"
MOST_INDEX = 2**34
"""Most bytes of an index: one of ten million records of 500 images is smaller."""
MOST_PIECE = 2**28
MOST_PIECES = 2**14

_ENTRY = 8 + 32
_END = 8 + 32 + len(MAGIC)


class Place(NamedTuple):
    """The position of a piece in the file, and its checksum."""

    start: int
    length: int
    digest: bytes


class DamagedIndexError(ValueError):
    """A file that is not an index, or was changed."""


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield the pieces of an index one after another; nothing if there is no file.

    Raises:
        DamagedIndexError: it is not an index, or was changed.
    """
    try:
        with open_regular(path, most=MOST_INDEX) as stream:
            for place in _places(stream):
                stream.seek(place.start)
                piece = stream.read(place.length)
                if hashlib.sha256(piece).digest() != place.digest:
                    raise DamagedIndexError("another checksum")
                yield piece
    except FileNotFoundError:
        return
    except (OSError, StorageError) as error:
        raise DamagedIndexError(str(error)[:200]) from None


def _places(stream: BinaryIO) -> list[Place]:
    size = os.fstat(stream.fileno()).st_size
    if size < _END:
        raise DamagedIndexError("too short")
    stream.seek(size - _END)
    end = stream.read(_END)
    count = int.from_bytes(end[:8], "little")
    if end[40:] != MAGIC or count > MOST_PIECES or size < _END + count * _ENTRY:
        raise DamagedIndexError("another end")
    first = size - _END - count * _ENTRY
    stream.seek(first)
    table = stream.read(count * _ENTRY)
    if hashlib.sha256(table + end[:8]).digest() != end[8:40]:
        raise DamagedIndexError("another checksum")
    places, start = [], 0
    for at in range(0, len(table), _ENTRY):
        length = int.from_bytes(table[at : at + 8], "little")
        if length > MOST_PIECE:
            raise DamagedIndexError("a piece that is too long")
        places.append(Place(start, length, table[at + 8 : at + _ENTRY]))
        start += length
    if start != first:
        raise DamagedIndexError("another length")
    return places


def write_index(path: Path, pieces: Iterable[bytes]) -> None:
    """Write an index, and replace an older one.

    Raises:
        StorageError: writing to disk failed; the older file is intact.
    """
    write_pieces(path, _with_table(pieces))


def _with_table(pieces: Iterable[bytes]) -> Iterator[bytes]:
    entries = []
    for piece in pieces:
        entries.append(len(piece).to_bytes(8, "little") + hashlib.sha256(piece).digest())
        yield piece
    table, count = b"".join(entries), len(entries).to_bytes(8, "little")
    yield table + count + hashlib.sha256(table + count).digest() + MAGIC
