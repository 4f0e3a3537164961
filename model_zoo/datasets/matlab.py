"""Numeric arrays out of MATLAB 5 files.

scipy.io.loadmat reads far more of the format, but ends the process with a segmentation fault on some damaged
files (scipy 1.17.1, found by flipping bytes). This reader slices bytes and checks every length.
"""

from __future__ import annotations

import math
import struct
import zlib
from itertools import islice
from typing import TYPE_CHECKING, Any

from robench.errors import InputError
from robench.intake.archives import check_expansion
from robench.intake.limits import EXPANSION, FLOOR, UNPACKED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = dict(enumerate(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"], start=6))
_COMPLEX = 0x800
_MOST_ELEMENTS = 100_000
"""Elements in a row; SVHN's files have two arrays."""
_PARTS = 4
"""Parts of a real array: flags, shape, name, values."""


def read_mat(data: bytes, *, where: str) -> dict[str, NDArray[np.generic]]:
    """Return the real numeric arrays of a MATLAB 5 file by name; other contents are skipped.

    Args:
        data: the file.
        where: its name, for messages.

    Raises:
        InputError: another format, or damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or data[124:126] not in (b"\x00\x01", b"\x01\x00"):
        raise _refusal(where, f"the start {data[:19]!r}")
    arrays: dict[str, NDArray[np.generic]] = {}
    total = 0
    try:
        for number, element in enumerate(_elements(memoryview(data)[128:], order)):
            kind, body = element
            if number >= _MOST_ELEMENTS:
                raise ValueError(f"more than {_MOST_ELEMENTS} elements")
            if kind == _COMPRESSED:
                content = _inflated(body, total, where)
                total += len(content)
                kind, body = next(_elements(memoryview(content), order))
            if kind == _MATRIX:
                name, array = _array([*islice(_elements(body, order), _PARTS)], order)
                if array is not None:
                    UNPACKED.check(sum(a.nbytes for a in (*arrays.values(), array)), where=where)
                    arrays[name] = array
    except (ValueError, LookupError, struct.error, zlib.error, StopIteration, MemoryError) as error:
        raise _refusal(where, str(error) or type(error).__name__) from error
    return arrays


def _elements(data: memoryview, order: str) -> Any:
    """Yield (kind, body) of the elements in a row."""
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from(order + "II", data, place)
        start = place + 8
        if kind >> 16:  # a small element has up to four bytes in the place of the size
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            end, place = start + size, place + 8
        else:
            end = start + size
            place = end if kind == _COMPRESSED else end + -size % 8
        if end > len(data) or (start == place - 4 and size > 4):
            raise ValueError(f"an element of {size} bytes where {len(data) - start} are left")
        yield kind, data[start:end]


def _inflated(body: memoryview, before: int, where: str) -> bytes:
    """Unpack an element, if `before` bytes of the file were unpacked already."""
    most = min(UNPACKED.value() - before, max(FLOOR, len(body) * EXPANSION.value()))
    stream = zlib.decompressobj()
    content = stream.decompress(body, max(most, 0) + 1)
    UNPACKED.check(before + len(content), where=where)
    check_expansion(len(body), len(content), where=where)
    if not stream.eof:
        raise ValueError("a compressed array that is cut off")
    return content


def _array(parts: list[tuple[int, memoryview]], order: str) -> tuple[str, NDArray[np.generic] | None]:
    """Return the name and the values of a matrix, None for values that are not real numbers."""
    import numpy as np

    (_, flags), (_, sides), (_, name) = parts[:3]
    (flag,) = struct.unpack_from(order + "I", flags)
    label, kind = bytes(name).decode("latin1"), _CLASSES.get(flag & 0xFF)
    if kind is None or flag & _COMPLEX:
        return label, None
    shape = tuple(int(side) for side in np.frombuffer(sides, dtype=order + "i4"))
    number_kind, body = parts[3]
    values = np.frombuffer(body, dtype=order + _STORED[number_kind])
    if not shape or min(shape) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} values for the shape {shape}")
    return label, values.astype(kind, copy=False).reshape(shape, order="F")


def _refusal(where: str, got: str) -> InputError:
    do = "Copy or download it again"
    return InputError(where=where, expected="a whole MATLAB 5 file", got=got, do=do)
