"""Checksums inside the files of a run, to notice a flipped bit, a lost end or a manual edit.

A record ends with the field `sha256`, the digest of all text before it. A tensor file (safetensors) has in
its metadata the digest of the whole file, computed with zeros in place of the digest. Files of earlier
versions have none and are read without this check. A checksum detects accidents; it is not a signature.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

from robench.errors import StorageError
from robench.record.files import MOST_TENSORS, open_regular

FIELD = "sha256"
NOTES = ("seconds", "engine", "not_used")
"""Entries in the metadata of a file of crafted images beside its digest."""
_END = re.compile(r', "sha256": "([0-9a-f]{64})"\}\n?\Z')
_ZEROS = b"0" * 64
_MOST_HEADER = 100_000_000
"""Most bytes of a header, as the format itself allows."""
_PIECE = 2**20


def sealed_text(text: str) -> str:
    """Return the JSON text of an object with its digest as last field.

    Example:
        >>> sealed_text('{"a": 1}')[:22]
        '{"a": 1, "sha256": "79'
    """
    body = text[:-1]
    return f'{body}, "{FIELD}": "{_digest(body)}"}}'


def check_text(text: str, *, where: str) -> bool:
    """Tell whether a text of JSON is sealed.

    Raises:
        StorageError: it is sealed, but was changed after writing.
    """
    match = _END.search(text, max(0, len(text) - 90))
    if match is None:
        return False
    if _digest(text[: match.start()]) != match[1]:
        raise _damaged(where)
    return True


def is_cut(text: str) -> bool:
    """Tell whether a file with a sealed text has lost its last line break."""
    return not text.endswith("\n") and bool(_END.search(text, max(0, len(text) - 90)))


def seal_of(text: str) -> str:
    """Return the digest in a sealed text, empty if there is none."""
    match = _END.search(text, max(0, len(text) - 90))
    return match[1] if match else ""


def sealed_tensors(saved: bytes) -> bytes:
    """Return the bytes of a safetensors file with its digest instead of the zeros of `unsealed_notes`.

    The same tensors and notes give the same bytes: safetensors itself writes its notes in any order.
    """
    end = 8 + int.from_bytes(saved[:8], "little")
    header = json.loads(saved[8:end])
    notes = dict(sorted(header.pop("__metadata__", {}).items()))
    text = json.dumps({"__metadata__": notes, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    whole = len(text).to_bytes(8, "little") + text + saved[end:]
    at = _place(whole)
    if at is None:
        raise ValueError("a file without a place for its digest")
    digest = hashlib.sha256(whole).hexdigest().encode()
    return whole[:at] + digest + whole[at + 64 :]


def unsealed_notes(notes: dict[str, str] | None = None) -> dict[str, str]:
    """Return metadata of a safetensors file, with zeros at the place for the digest."""
    return {**(notes or {}), FIELD: _ZEROS.decode()}


def check_tensors(path: Path, *, notes: Collection[str] = (), most: int = MOST_TENSORS) -> bool:
    """Tell whether a tensor file exists; it is read once from end to end.

    Args:
        path: the file.
        notes: names of metadata in files of earlier versions; a file with other names was sealed.
        most: most bytes that it may have.

    Returns:
        False if there is no file.

    Raises:
        StorageError: it was changed, is not a regular file, or is too large; names the file.
    """
    try:
        with open_regular(path, most=most) as stream:
            _check_stream(stream, str(path), notes)
    except FileNotFoundError:
        return False
    except OSError as error:
        got = error.strerror or str(error)
        raise StorageError(where=str(path), expected="a readable file of tensors", got=got) from None
    return True


def _check_stream(stream: BinaryIO, where: str, notes: Collection[str]) -> None:
    start = stream.read(8)
    size = int.from_bytes(start, "little")
    if len(start) < 8 or size > _MOST_HEADER:
        raise _damaged(where)
    start += stream.read(size)
    try:
        header: Any = json.loads(start[8:])
        metadata = header.get("__metadata__", {})
        digest = metadata.get(FIELD)
        foreign = set(metadata) - {FIELD, *notes}
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise _damaged(where) from None
    if digest is None and not foreign:
        return  # of an earlier version; safetensors itself checks whether it is complete
    at = _place(start, str(digest).encode("utf-8", "replace"))
    if at is None:
        raise _damaged(where)
    content_hash = hashlib.sha256(start[:at] + _ZEROS + start[at + 64 :])
    while piece := stream.read(_PIECE):
        content_hash.update(piece)
    if content_hash.hexdigest() != digest:
        raise _damaged(where)


def _place(content: bytes, digest: bytes = _ZEROS) -> int | None:
    """Return the position of the digest in the header, None if there is none."""
    mark = b'"%s":"%s"' % (FIELD.encode(), digest)
    end = 8 + int.from_bytes(content[:8], "little")
    at = content.find(mark, 8, end)
    return None if at < 0 or len(digest) != 64 else at + len(mark) - 65


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _damaged(where: str) -> StorageError:
    return StorageError(
        where=where,
        expected="a file as it was written",
        got="another checksum, or none: it was damaged or edited",
        do="Run the same command again: `robench run` sets it aside and makes it anew",
    )
