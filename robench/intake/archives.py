"""Zip archives are checked before anything in them is unpacked."""

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
    """Refuse data that unpack to a large multiple of their size, as data made to fill memory do.

    Args:
        packed: bytes in the file.
        unpacked: bytes after unpacking.
        where: the file, for the message.
        error: what to raise.

    Raises:
        RobenchError: of the kind `error`; more than 64 MiB and more than the limit times their size.
    """
    if unpacked > FLOOR and unpacked > packed * EXPANSION.value():
        got = f"{size_text(packed)} that become {size_text(unpacked)}"
        raise EXPANSION.refusal(got, where=where, error=error)


def open_archive(file: IO[bytes], *, where: str, error: type[RobenchError] = InputError) -> zipfile.ZipFile:
    """Return a zip archive whose table of contents can be read and is plausible.

    Args:
        file: open for reading; the caller closes it.
        where: its name, for the message.
        error: what to raise for any other table.

    Raises:
        RobenchError: of the kind `error`; the table is too large, a member is neither stored nor deflated, or
            has more packed bytes, by the table, than the file.
        zipfile.BadZipFile: not a zip archive.
    """
    # The standard library reads the whole table at once; so its size is checked here first.
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
    """Refuse an entry of the table of contents with which a few bytes could unpack to any number of bytes."""
    if member.compress_type not in _PACKED:  # bzip2 and LZMA are always unpacked as a whole
        got = f"compression of the kind {member.compress_type}"
        raise error(where=where, expected="a member that is stored or deflated", got=got, do="Pack it again")
    rest = max(size - member.header_offset, 0)
    if member.compress_size > rest:  # otherwise a false size could raise the limit of expansion
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
    """Return the contents of a member.

    Args:
        archive: the archive with the member.
        member: its entry in the table of contents.
        where: the archive, for messages.
        limit: the most bytes it may unpack to.
        error: what to raise.

    Raises:
        RobenchError: of the kind `error`: it unpacks to more than the limit, or to a too large multiple.
        Exception: any error of `zipfile` for a broken archive.
    """
    check_member_size(member, where=where, limit=limit, error=error)
    with archive.open(member) as file:  # in pieces: in one read it may unpack more than the table says
        return b"".join(iter(lambda: file.read(_PIECE), b""))


def check_member_size(
    member: zipfile.ZipInfo, *, where: str, limit: Limit = UNPACKED, error: type[RobenchError] = InputError
) -> None:
    """Refuse a member by its entry in the table; if read in pieces, it unpacks to at most that size.

    Raises:
        RobenchError: of the kind `error`; as `read_member`.
    """
    place = f"{where}:{member.filename[:100]}"
    limit.check(member.file_size, where=place, error=error)
    check_memory(member.file_size, where=place, error=error)
    check_expansion(member.compress_size, member.file_size, where=place, error=error)
