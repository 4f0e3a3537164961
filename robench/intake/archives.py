"""Zip archives looked at before anything in them is unpacked."""

from __future__ import annotations

import zipfile
from typing import IO, Any

from robench.errors import InputError, RobenchError
from robench.intake.limits import EXPANSION, FLOOR, MEMBERS, UNPACKED, Limit, size_text
from robench.intake.memory import check_memory


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
    """Return a zip archive whose table of contents is of a size that can be read.

    Args:
        file: open for reading; the caller closes it.
        where: its name, for the message.
        error: what to raise for a larger table.

    Raises:
        RobenchError: of the kind `error`; the table is too large.
        zipfile.BadZipFile: no zip archive.
    """
    # The standard library reads the whole table at once; what it takes for its size is asked here.
    reader: Any = zipfile
    end = reader._EndRecData(file)
    if end:
        MEMBERS.check(int(end[5]), where=where, error=error)
    return zipfile.ZipFile(file)


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
    return archive.read(member)


def check_member_size(
    member: zipfile.ZipInfo, *, where: str, limit: Limit = UNPACKED, error: type[RobenchError] = InputError
) -> None:
    """Refuse a member by its entry in the table of contents; `zipfile` unpacks no more than that says.

    Raises:
        RobenchError: of the kind `error`; as `read_member`.
    """
    place = f"{where}:{member.filename[:100]}"
    limit.check(member.file_size, where=place, error=error)
    check_memory(member.file_size, where=place, error=error)
    check_expansion(member.compress_size, member.file_size, where=place, error=error)
