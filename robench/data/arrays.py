"""Numbers of any type as plain arrays: they share no memory with the caller, and nothing is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from robench.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KINDS = {
    "O": "Python objects",
    "U": "text",
    "S": "text",
    "M": "dates",
    "m": "durations",
    "c": "complex numbers",
}
_PLAIN_FLOATS = (torch.float16, torch.float32, torch.float64)


def own_array(values: object, *, where: str, what: str) -> NDArray[Any]:
    """Return the numbers of a tensor, an array or nested lists, copied.

    Args:
        values: anything NumPy or torch can read, with any strides and byte order, on any device.
        where: the data set, for the message.
        what: `images` or `labels`, for the message.

    Returns:
        A contiguous array in this machine's byte order, of bool, integers, or 16, 32 or 64 bit floats. Floats
        of other widths become 32 (those of 8 bits and bfloat16) or 64 bits wide.

    Raises:
        InputError: ragged lists, masked values, text, objects, complex numbers, or not an array.
    """
    try:
        array = _array(values)
    except InputError:
        raise
    except Exception as error:  # a foreign object may raise anything when it is read
        lines = str(error).strip().splitlines() or [""]
        got = f"{_described(values)} that cannot be read as one ({lines[0][:120].rstrip('.')})"
        raise InputError(where=where, expected=f"{what} in one array of numbers", got=got) from error
    if array is None:
        got = _described(values)
        raise InputError(where=where, expected=f"{what} in one array of numbers", got=got)
    kind = array.dtype.kind
    if kind not in "biuf":
        raise InputError(
            where=where,
            expected=f"{what} in one array of numbers",
            got=f"{_KINDS.get(kind, 'records')} ({array.dtype})",
            do=_remedy(kind, what),
        )
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        do = "Leave those images out, or fill the gaps"
        raise InputError(where=where, expected=f"{what} without gaps", got="masked values", do=do)
    dtype = np.dtype("f8") if kind == "f" and array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    return np.array(array, dtype=dtype, order="C", subok=False)


def _array(values: Any) -> NDArray[Any] | None:
    """Return a view if there is one; None for anything that is not an array."""
    if isinstance(values, Tensor):
        return _of_tensor(values)
    if isinstance(values, range):
        values = list(values)
    if isinstance(values, list | tuple):
        if any(isinstance(value, Tensor) for value in values):
            return _of_tensor(torch.stack(list(values)))
        if any(hasattr(value, "__array__") for value in values):
            return np.stack([np.asarray(value) for value in values])
        return torch.as_tensor(values).numpy()
    if isinstance(values, np.ndarray):
        return values
    # A single number can be read too, but text, a mapping or None would become an object.
    return np.asarray(values) if hasattr(values, "__array__") or isinstance(values, int | float) else None


def _of_tensor(values: Tensor) -> NDArray[Any]:
    plain = values.detach()
    if plain.is_quantized:
        plain = plain.dequantize()
    if plain.is_floating_point() and plain.dtype not in _PLAIN_FLOATS:
        plain = plain.to(torch.float32)
    return plain.cpu().resolve_conj().resolve_neg().numpy()


def _described(values: object) -> str:
    if isinstance(values, Tensor):
        return f"a {str(values.layout).removeprefix('torch.')} tensor of {values.dtype} on {values.device}"
    return "None" if values is None else f"a {type(values).__name__}"


def _remedy(kind: str, what: str) -> str:
    if kind == "O":
        return "Make one array of numbers of them, such as `numpy.stack(list(values))`"
    if kind in "US" and what == "labels":
        return "Number the classes from 0: `numpy.unique(labels, return_inverse=True)`"
    return ""
