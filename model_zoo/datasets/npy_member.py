"""One array of a NumPy archive: its header is checked before memory is allocated; nothing is unpickled."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

from robench.errors import InputError
from robench.intake.archives import check_member_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BROKEN = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,  # an encrypted member; RecursionError: a header of brackets
    NotImplementedError,
    SyntaxError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors of the standard library and NumPy for a damaged archive or header."""


def read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, where: str) -> NDArray[Any]:
    """Return the array of a member, as a copy.

    Args:
        archive: the archive with the member.
        member: its entry in the table of contents.
        where: the archive, for messages.

    Raises:
        InputError: Python objects or records inside, a shape that is not that of its bytes, or more bytes
            than a limit allows.
        Exception: one of `BROKEN`, for a broken archive or header.
    """
    import numpy as np

    check_member_size(member, where=where)
    with archive.open(member) as file:
        shape, fortran, kind = _header(file, where=f"{where}:{member.filename[:100]}")
        count = math.prod(shape)
        rest = member.file_size - file.tell()
        if count * kind.itemsize != rest:
            raise InputError(
                where=f"{where}:{member.filename[:100]}",
                expected=f"{count * kind.itemsize} bytes for the shape {_short(shape)} of {kind}",
                got=str(rest),
                do="The file is damaged: save it again",
            )
        values = np.empty(count, dtype=kind)
        data, place = values.view(np.uint8), 0
        while place < rest:  # the last read lets the archive compare its checksum
            piece = file.read(min(rest - place, 1 << 20))
            if not piece:
                raise EOFError("an array that is cut off")
            data[place : place + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
            place += len(piece)
        file.read(1)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes], *, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type; afterwards the file is positioned at the numbers."""
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    readers: dict[Any, Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise InputError(where=where, expected="plain numbers", got=f"an array of version {version}")
    shape, fortran, kind = readers[version](file)
    if kind.hasobject:
        do = "Save plain numbers, such as `numpy.stack(list(images))`"
        got = "pickled objects, which may hold code"
        raise InputError(where=where, expected="a .npz archive of plain arrays", got=got, do=do)
    if kind.kind not in "biuf" or kind.subdtype is not None:
        raise InputError(where=where, expected="an array of numbers", got=f"{kind}"[:100])
    if any(type(side) is not int or side < 0 for side in shape) or len(shape) > _MOST_AXES:
        raise InputError(where=where, expected="a shape", got=_short(shape))
    return shape, fortran, kind


_MOST_AXES = 32


def _short(shape: tuple[Any, ...]) -> str:
    return f"{tuple(shape)}"[:100]
