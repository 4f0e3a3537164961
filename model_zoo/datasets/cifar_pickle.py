"""The pickles of CIFAR, read without running any code that they name.

A pickle is a program. This reader gives it nothing to call: the few names that arrays need are replaced by
inert stand-ins that only store their arguments, and every other name is refused. Before that, the steps of
the program are checked: only the steps that these files need are allowed, without a number that makes
Python's own reader allocate much more memory than the file has bytes.
"""

from __future__ import annotations

import io
import pickle
import re
from typing import TYPE_CHECKING, Any

from robench.errors import InputError
from robench.intake.pickle_steps import check_steps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    OverflowError,
    MemoryError,
    RecursionError,
)


class _RefusedError(Exception):
    """A pickle contains a name that arrays do not need."""


class _Inert:
    """Stores its arguments and its state."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Inert):
    """Replaces `numpy.ndarray`; its state is (version, shape, type, Fortran order, bytes)."""


class _Type(_Inert):
    """Replaces `numpy.dtype`; its first argument is the type's code."""


class _Rebuilt:
    """Replaces numpy's `_reconstruct`, which makes the array that then gets the state.

    It is not a function: a pickle may set attributes of its objects, and this one has none that can be set.
    """

    __slots__ = ()

    def __call__(self, *arguments: Any) -> _Array:
        return _Array(*arguments)


class _Encoded:
    """Replaces `_codecs.encode`, through which Python 3 writes bytes for Python 2."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise _RefusedError("encode with another encoding than latin1")
        return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Rebuilt(),
    ("numpy._core.multiarray", "_reconstruct"): _Rebuilt(),
    ("_codecs", "encode"): _Encoded(),
}


_BYTE_CODES = ("u1", "|u1", b"u1", b"|u1")
_STEPS = re.compile(
    r"PROTO|FRAME|STOP|MARK|NONE|NEWTRUE|NEWFALSE|(LONG_BIN|BIN|)(PUT|GET)|MEMOIZE"
    r"|(EMPTY_)?(DICT|LIST)|(EMPTY_)?TUPLE|TUPLE[123]|SETITEMS?|APPENDS?|INT|BININT[12]?|LONG1?"
    r"|(SHORT_|)(BIN|)(STRING|UNICODE|BYTES)|BIN(UNICODE|BYTES)8|GLOBAL|STACK_GLOBAL|REDUCE|BUILD"
)


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _RefusedError(f"{module}.{name}")
        return _ALLOWED[module, name]


def read_batch(data: bytes, *, where: str) -> dict[str, Any]:
    """Return the mapping in a pickle, with text keys.

    Args:
        data: the pickle, of Python 2 or 3.
        where: the file, for messages.

    Returns:
        Keys to numbers, text, bytes, lists, or arrays that `pixels` can read.

    Raises:
        InputError: it needs other names than arrays do (they are reported, not run), is damaged, or is not a
            mapping.
    """
    try:
        _check_steps(data, where=where)
        content = _Reader(io.BytesIO(data), encoding="bytes").load()
    except _RefusedError as error:
        raise InputError(
            where=where,
            expected="a pickle of plain arrays",
            got=f"one that asks for {error}, which may be code; it was not run",
            do="Do not open it elsewhere if you do not trust its author; download the data again",
        ) from error
    except _BROKEN as error:
        raise _damaged(where, str(error) or type(error).__name__) from error
    if not isinstance(content, dict):
        raise _damaged(where, f"a pickled {type(content).__name__}")
    return {_text(key): value for key, value in content.items() if isinstance(key, bytes | str)}


def _check_steps(data: bytes, *, where: str) -> None:
    """Refuse a pickle by its steps alone; reading them runs nothing."""
    for step, argument in check_steps(io.BytesIO(data), where=where):
        if not _STEPS.fullmatch(step.name):
            raise _RefusedError(f"the step {step.name}")
        if step.name in ("PUT", "LONG_BINPUT", "FRAME") and not 0 <= int(argument or 0) <= len(data):
            raise ValueError(f"{step.name} of {argument} in a file of {len(data)} bytes")


def pixels(batch: dict[str, Any], key: str, *, width: int, where: str) -> NDArray[np.uint8]:
    """Return an array (N, width) uint8 of a batch.

    Raises:
        InputError: absent, or of another type or shape.
    """
    import numpy as np

    match getattr(batch.get(key), "state", None):
        case (_, (int(rows), int(columns)), _Type(arguments=(code, *_)), order, bytes(raw)) if (
            columns == width and rows * columns == len(raw) and code in _BYTE_CODES
        ):
            flat = np.frombuffer(raw, dtype=np.uint8)
            return flat.reshape((rows, columns), order="F" if order else "C").copy()
    raise _damaged(where, f"no such array under {key!r}", f"an array (N, {width}) of bytes")


def integers(batch: dict[str, Any], key: str, *, where: str) -> NDArray[np.int64]:
    """Return a list of integers of a batch.

    Raises:
        InputError: absent, or anything else.
    """
    import numpy as np

    values = batch.get(key)
    if not isinstance(values, list) or not all(type(v) is int and 0 <= v < 1 << 31 for v in values):
        raise _damaged(where, f"no such list under {key!r}", "a list of labels")
    return np.array(values, dtype=np.int64)


def texts(batch: dict[str, Any], key: str, *, where: str) -> tuple[str, ...]:
    """Return a list of names of a batch.

    Raises:
        InputError: absent, or anything else.
    """
    values = batch.get(key)
    if not isinstance(values, list) or not all(isinstance(v, bytes | str) for v in values):
        raise _damaged(where, f"no such list under {key!r}", "a list of class names")
    return tuple(_text(v) for v in values)


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _damaged(where: str, got: str, expected: str = "a whole CIFAR pickle") -> InputError:
    return InputError(where=where, expected=expected, got=got, do="Copy or download it again")
