"""Zip archives looked at before anything in them is unpacked."""

from __future__ import annotations

import os
import zipfile
from typing import IO, Any

from robench.errors import InputError, RobenchError
from robench.intake.limits import EXPANSION, FLOOR, MEMBERS, UNPACKED, Limit, size_text
from robench.intake.memory_limit import check_memory

_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE = 1 << 20
"""Bytes that are unpacked at once."""


def check_expansion(
    packed: int, unpacked: int, *, where: str, error: type[RobenchError] = InputError
) -> None:
    """Refuse data that become a large multiple of themselves, as only those do that are made to fill memory.

    Args:
        packed: bytes in the file.
        unpacked: bytes they become.
        where: the file, for the message.
        error: what to raise.

    Raises:
        RobenchError: of the kind `error`; more than 64 MiB and more than the limit times their size.
    """
    if unpacked > FLOOR and unpacked > packed * EXPANSION.value():
        got = f"{size_text(packed)} that become {size_text(unpacked)}"
        raise EXPANSION.refusal(got, where=where, error=error)


def open_archive(file: IO[bytes], *, where: str, error: type[RobenchError] = InputError) -> zipfile.ZipFile:
    """Return a zip archive whose table of contents can be read, and says nothing that cannot be.

    Args:
        file: open for reading; the caller closes it.
        where: its name, for the message.
        error: what to raise for another table.

    Raises:
        RobenchError: of the kind `error`; the table is too large, a member is packed otherwise than stored or
            deflated, or is said to have more packed bytes than there are.
        zipfile.BadZipFile: no zip archive.
    """
    # The standard library reads the whole table at once; what it takes for its size is asked here.
    reader: Any = zipfile
    end = reader._EndRecData(file)
    if end:
        MEMBERS.check(int(end[5]), where=where, error=error)
    archive = zipfile.ZipFile(file)
    size = file.seek(0, os.SEEK_END)
    for member in archive.infolist():
        _check_entry(member, size, where=f"{where}:{member.filename[:100]}", error=error)
    return archive


def _check_entry(member: zipfile.ZipInfo, size: int, *, where: str, error: type[RobenchError]) -> None:
    """Refuse an entry of the table of contents by which a few bytes could become any number of them."""
    if member.compress_type not in _PACKED:  # bzip2 and LZMA are unpacked at once, whatever is asked for
        got = f"compression of the kind {member.compress_type}"
        raise error(where=where, expected="a member that is stored or deflated", got=got, do="Pack it again")
    rest = max(size - member.header_offset, 0)
    if member.compress_size > rest:  # else the limit of expansion could be moved
        expected, got = f"at most {rest} packed bytes, as there are", str(member.compress_size)
        raise error(where=where, expected=expected, got=got, do="The file is damaged: copy it again")


def read_member(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    *,
    where: str,
    limit: Limit = UNPACKED,
    error: type[RobenchError] = InputError,
) -> bytes:
    """Return what a member holds.

    Args:
        archive: holds it.
        member: its entry in the table of contents.
        where: the archive, for messages.
        limit: the most bytes it may unpack to.
        error: what to raise.

    Raises:
        RobenchError: of the kind `error`: it unpacks to more than the limit, or to too large a multiple.
        Exception: what `zipfile` raises for a broken archive.
    """
    check_member_size(member, where=where, limit=limit, error=error)
    with archive.open(member) as file:  # piece by piece: asked for all, it unpacks more than the table says
        return b"".join(iter(lambda: file.read(_PIECE), b""))


def check_member_size(
    member: zipfile.ZipInfo, *, where: str, limit: Limit = UNPACKED, error: type[RobenchError] = InputError
) -> None:
    """Refuse a member by its entry in the table of contents; read in pieces, it unpacks to no more than that.

    Raises:
        RobenchError: of the kind `error`; as `read_member`.
    """
    place = f"{where}:{member.filename[:100]}"
    limit.check(member.file_size, where=place, error=error)
    check_memory(member.file_size, where=place, error=error)
    check_expansion(member.compress_size, member.file_size, where=place, error=error)
