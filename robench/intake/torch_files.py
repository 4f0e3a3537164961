"""Files of `torch.save` are checked before torch reads them: the names in their pickles, and their cost."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import IO, Any

from robench.errors import InputError, RobenchError
from robench.intake.archives import check_member_size, open_archive, read_member
from robench.intake.limits import CHECKPOINT
from robench.intake.pickle_steps import check_steps

BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
    ArithmeticError,
    MemoryError,
    OSError,
    struct.error,
    NotImplementedError,
)
"""Errors that torch's restricted reader of pickles and the readers of zip raise on damaged bytes."""

_OLD_PICKLES = 5
"""Pickles in a row at the beginning of torch's old format: number, protocol, machine, content, keys."""
_END, _END_64 = 22, 22 + 20 + 56
"""Bytes of the records that end an archive, without and with those of large files."""


def names_asked_for(data: bytes, *, where: str, error: type[RobenchError] = InputError) -> list[str]:
    """Return the names (`module.name`) that a file's pickles import; refuse what costs too much.

    Args:
        data: the whole file, an archive or one of the old format.
        where: its name, for messages.
        error: what to raise.

    Raises:
        RobenchError: of the kind `error`: an archive or a pickle made to cost time or memory.
        Exception: one of `BROKEN`, for a broken archive.
    """
    stream = io.BytesIO(data)
    if not data.startswith(b"PK\x03\x04"):
        return pickled_names(stream, where=where, error=error)
    with open_archive(stream, where=where, error=error) as archive:
        _check_whole(stream, len(data), where, error)
        members = archive.infolist()
        for member in members:
            check_member_size(member, where=where, limit=CHECKPOINT, error=error)
        pickles = [member for member in members if member.filename.endswith(".pkl")]
        names: list[str] = []
        for member in pickles:
            content = read_member(archive, member, where=where, limit=CHECKPOINT, error=error)
            names += _names(io.BytesIO(content), where, error)[0]
        return names


def pickled_names(stream: IO[bytes], *, where: str, error: type[RobenchError] = InputError) -> list[str]:
    """Return the names that consecutive pickles import, as in torch's old format; none of them is run.

    Raises:
        RobenchError: of the kind `error`: a pickle that costs too much.
    """
    names, whole = list[str](), True
    for _ in range(_OLD_PICKLES):
        if whole:
            batch, whole = _names(stream, where, error)
            names += batch
    return names


def _names(stream: IO[bytes], where: str, error: type[RobenchError]) -> tuple[list[str], bool]:
    """Return the names that one pickle imports, and whether it is complete."""
    names: list[str] = []
    texts: list[str] = []
    try:
        for code, argument in check_steps(stream, where=where, error=error):
            if code.name == "GLOBAL":
                names.append(str(argument).replace(" ", "."))
            elif code.name == "STACK_GLOBAL":
                names.append(".".join(texts[-2:]))
            elif isinstance(argument, str):
                texts = [*texts[-1:], argument]
    except BROKEN:
        return names, False  # the rest is not a pickle, or it is truncated here
    return names, True


def _check_whole(stream: IO[bytes], size: int, where: str, error: type[RobenchError]) -> None:
    """Refuse a file in which torch's own reader might see another archive.

    Both readers see the same if the file ends with the table of contents and offsets count from its start.
    """
    reader: Any = zipfile
    end = reader._EndRecData(stream)
    if end[9] != size - _END or size not in (end[5] + end[6] + _END, end[5] + end[6] + _END_64):
        got, do = "an archive with something before or behind it", "Save it again with torch.save"
        raise error(where=where, expected="a file that torch.save wrote", got=got, do=do)
