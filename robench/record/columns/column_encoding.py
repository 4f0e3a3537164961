"""Columns of a record as short JSON: repeated or consecutive numbers in few characters, others as bytes.

A column of integers or floats is one of

    [1, 5, 2]        a plain list
    {"same": 0.1}    one repeated value
    {"from": 500}    500, 501, 502, ...
    {"u1": "AQUC"}   little-endian numbers in base64: u1 u2 u4, signed i1 i2 i4 i8, IEEE 754 f4 f8

in the first form that represents it exactly. Statuses are a text, one letter per image. Nothing is rounded.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from robench.record.status import STATUSES
from robench.record.strict_json import FieldError, described, read_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


_LETTERS = "".join(status[0] for status in STATUSES)
_PLACES = bytes(_LETTERS.find(chr(sign)) % (len(STATUSES) + 1) for sign in range(256))
"""The index in `STATUSES` of every letter; one past the last index for any other character."""
_WHOLE = ("u1", "i1", "u2", "i2", "u4", "i4", "i8")
_CODES = {*_WHOLE, "f4", "f8"}
_SIZES = {code: int(code[1]) for code in _CODES}
"""Bytes per number of each code."""
_FLOATS = {"f4": "<f4", "f8": "<f8"}
_MOST_CONSTANT = 256
_constant: dict[tuple[type, str, int], Array] = {}
"""The last columns that repeat one value: many records have the same."""
_EXACT = 2**32
"""Integers below are written in as few bytes as they need, also in a column of floats."""


def pack_numbers(values: Sequence[Any] | Array, kind: type) -> Any:
    """Return the shortest JSON form that represents a column of numbers exactly.

    Args:
        values: integers or floats; a list that no array represents exactly stays a list.
        kind: int or float.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    import numpy as np

    array = _exact(values, kind) if isinstance(values, list) else np.asarray(values)
    if array is None:
        return values
    if kind is float and not np.isfinite(array).all():
        raise ValueError("Out of range float values are not JSON compliant: NaN or infinite")
    if not len(array):
        return []
    first = array[:1]
    if (array.view(f"u{array.itemsize}") == first.view(f"u{array.itemsize}")).all():
        return {"same": first.tolist()[0]}
    if kind is int:
        if (np.diff(array) == 1).all():
            return {"from": int(first[0])}
        return _bytes(array, narrowest(array))
    if not np.signbit(array).any() and (array < _EXACT).all() and (array == np.floor(array)).all():
        whole = array.astype(np.int64)
        return _bytes(whole, narrowest(whole))
    with np.errstate(over="ignore", under="ignore"):
        short = array.astype("<f4")
        return _bytes(array, "f4" if (short.astype("<f8") == array).all() else "f8")


def _exact(values: list[Any], kind: type) -> Array | None:
    import numpy as np

    types = set(map(type, values))
    if not types <= ({int} if kind is int else {int, float}):
        return None
    try:
        array = np.array(values, dtype=np.int64 if kind is int else np.float64)
    except OverflowError:
        return None
    same = kind is int or int not in types or array.tolist() == values
    return array if same else None


def narrowest(array: Array) -> str:
    """Return the code with the fewest bytes that can represent all of some integers, at least one."""
    import numpy as np

    low, high = int(array.min()), int(array.max())
    return next(c for c in _WHOLE if np.iinfo(c).min <= low and high <= np.iinfo(c).max)


def _bytes(array: Array, code: str) -> dict[str, str]:
    data = array.astype(f"<{code}").tobytes()
    return {code: binascii.b2a_base64(data, newline=False).decode("ascii")}


def unpack_numbers(data: Any, kind: type, n: int, *, path: str) -> Array:
    """Return a column of numbers as int64 or float64.

    Args:
        data: plain JSON data in any of the forms.
        kind: int or float.
        n: number of images in the record.
        path: of the column, for messages.

    Raises:
        FieldError: it has none of the forms, another length, or a number that is not finite.
    """
    import numpy as np

    wide: type[np.generic] = np.int64 if kind is int else np.float64
    if isinstance(data, list):
        array = np.array(read_value(data, list[kind], path=path), dtype=wide)  # type: ignore[valid-type]
        return _of_length(array, n, path)
    form, value = next(iter(data.items())) if type(data) is dict and len(data) == 1 else ("", None)
    if form == "same":
        mark = (kind, repr(value), n)
        if (same := _constant.get(mark)) is None:
            if len(_constant) >= _MOST_CONSTANT:
                _constant.clear()
            same = _constant[mark] = np.full(n, read_value(value, kind, path=path), dtype=wide)
            same.setflags(write=False)
        return same
    if form == "from" and kind is int:
        start = read_value(value, int, path=path)
        if start > np.iinfo(np.int64).max - n:
            raise FieldError(expected=f"numbers of 64 bits in the field `{path}`", got=described(value))
        return np.arange(start, start + n, dtype=np.int64)
    if form not in _CODES or (kind is int and form[0] == "f") or not isinstance(value, str):
        raise FieldError(expected=f"a list or a packed column in the field `{path}`", got=described(data))
    array = _of_length(_numbers(value, form, path), n, path).astype(wide)
    if form[0] == "f" and not np.isfinite(array).all():
        raise FieldError(expected=f"finite numbers in the field `{path}`", got="NaN or infinity")
    return array


def are_numbers(data: Any, kind: type, n: int) -> bool:
    """Tell whether `unpack_numbers` certainly accepts a column; for usual columns without making an array.

    Args:
        data: plain JSON data in any of the forms.
        kind: int or float.
        n: how many images the record is about.
    """
    if type(data) is not dict or len(data) != 1:
        return False
    ((form, value),) = data.items()
    if form == "same":
        return (kind, repr(value), n) in _constant
    size = _SIZES.get(form)
    if size is None or type(value) is not str or (kind is int and form[0] == "f"):
        return False
    try:
        numbers = binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        return False
    if len(numbers) != n * size:
        return False
    if form[0] != "f":
        return True
    import numpy as np

    return bool(np.isfinite(np.frombuffer(numbers, dtype=_FLOATS[form])).all())


def _numbers(text: str, code: str, path: str) -> Array:
    import numpy as np

    try:
        return np.frombuffer(binascii.a2b_base64(text, strict_mode=True), dtype=f"<{code}")
    except ValueError as error:  # not base64, or the bytes are not a multiple of an entry
        raise FieldError(expected=f"numbers in base64 in the field `{path}`", got=str(error)) from None


def _of_length(array: Array, n: int, path: str) -> Array:
    if len(array) != n:
        raise FieldError(expected=f"{n} entries in the field `{path}`", got=str(len(array)))
    return array


def pack_status(codes: NDArray[np.uint8]) -> str:
    """Return a letter for each status: r(obust), b(roken), m(isclassified), f(ailed)."""
    import numpy as np

    return np.frombuffer(_LETTERS.encode(), dtype=np.uint8)[codes].tobytes().decode("ascii")


def unpack_status(data: Any, *, path: str) -> NDArray[np.uint8]:
    """Return statuses as their places in `STATUSES`.

    Args:
        data: a text of letters, or a plain list of statuses.
        path: of the column, for messages.

    Raises:
        FieldError: neither, or an unknown status.
    """
    import numpy as np

    if isinstance(data, list):
        return status_codes(read_value(data, list[str], path=path), path=path)
    if not isinstance(data, str):
        raise FieldError(expected=f"a list or a text in the field `{path}`", got=described(data))
    places = data.encode("utf-8", "replace").translate(_PLACES)
    if len(STATUSES) in places:
        raise FieldError(expected=f"the letters {_LETTERS} in the field `{path}`", got=described(data))
    return np.frombuffer(places, dtype=np.uint8)


def status_codes(statuses: Sequence[str], *, path: str = "status") -> NDArray[np.uint8]:
    """Return statuses as their places in `STATUSES`.

    Raises:
        FieldError: one of them is unknown.
    """
    import numpy as np

    places = {name: place for place, name in enumerate(STATUSES)}
    try:
        return np.fromiter((places[one] for one in statuses), dtype=np.uint8, count=len(statuses))
    except KeyError:
        stranger = min(set(statuses) - set(STATUSES))
        raise FieldError(
            expected=f"known statuses in the field `{path}`", got=f"the unknown status {described(stranger)}"
        ) from None


def pack_draws(stood: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the outcomes of draws, an array (n, draws), as one text of 0 and 1."""
    return {"draws": stood.shape[1], "text": (stood + ord("0")).tobytes().decode("ascii")}


def unpack_draws(data: Any, n: int, *, path: str) -> NDArray[np.uint8]:
    """Return the outcomes of draws as an array (n, draws) of 0 and 1; no draws for an empty list.

    Raises:
        FieldError: not the same number of 0 and 1 characters for each image.
    """
    import numpy as np

    draws: Any
    text: Any
    if isinstance(data, list):
        texts = read_value(data, list[str], path=path)
        draws, text, count = len(texts[0]) if texts else 0, "".join(texts), len(texts)
        alike = all(len(one) == draws for one in texts) and count in {0, n}
    else:
        draws, text = (data.get("draws"), data.get("text")) if isinstance(data, Mapping) else (None, None)
        alike = type(draws) is int and draws > 0 and isinstance(text, str) and len(text) == n * draws
        alike = alike and isinstance(data, Mapping) and len(data) == 2
    if not alike or set(text) - {"0", "1"}:
        raise FieldError(expected=f"texts of equally many 0 and 1 in the field `{path}`", got=described(data))
    return np.frombuffer(text.encode("ascii"), dtype=np.uint8).reshape(-1 if draws else n, draws) - ord("0")
