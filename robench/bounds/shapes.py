"""Functions that move values: indices, padding, permutations; the batch axis does not change."""

from __future__ import annotations

from typing import Any

from robench.bounds.reader import Reader
from robench.bounds.symbols import Batch, Ref, Unbounded


def indexed(reader: Reader, x: Any, place: Any) -> Any:
    """Return values selected by slices and numbers that do not change the batch, or an entry of a shape."""
    if not isinstance(x, Ref):
        return x[place]
    places = place if isinstance(place, tuple) else (place,)
    plain = all(p is Ellipsis or p is None or type(p) in (slice, int) for p in places)
    if not plain or places[0] != slice(None):
        raise Unbounded("an index other than slices and numbers that leave the batch alone")
    return reader.gathered(x, lambda t: t[places])


def padded(reader: Reader, x: Ref, pad: Any, mode: str = "constant", value: float | None = None) -> Ref:
    """Append zero padding."""
    if mode != "constant" or value not in (None, 0, 0.0):
        raise Unbounded(f"padding of mode {mode!r} with {value}: bounds know zeros")
    return reader.padded(x, pad)


def joined(reader: Reader, tensors: Any, dim: int = 0, *, axis: int | None = None) -> Ref:
    """Append a concatenation along an axis other than the batch."""
    if not all(isinstance(t, Ref) for t in tensors):
        raise Unbounded("a concatenation with constants")
    return reader.joined(tensors, dim if axis is None else axis)


def size(reader: Reader, x: Any, dim: int | None = None) -> Any:
    """Return the shape of values, with an unknown batch size, or one entry of it."""
    whole = (Batch(), *reader.shape_of(x))
    return whole if dim is None else whole[dim]


def attribute(reader: Reader, x: Any, name: str) -> Any:
    """Return the attribute `shape` of values, or any attribute of another object."""
    if isinstance(x, Ref) and name == "shape":
        return size(reader, x)
    if isinstance(x, Ref):
        raise Unbounded(f"the attribute `{name}` of values")
    return getattr(x, name)


def permuted(reader: Reader, x: Ref, *axes: Any) -> Ref:
    """Append a permutation of axes other than the batch."""
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    if order[0] != 0:
        raise Unbounded("a permutation that moves the batch")
    return reader.gathered(x, lambda t: t.permute(*order))


def transposed(reader: Reader, x: Ref, one: int, other: int) -> Ref:
    """Append an exchange of two axes other than the batch."""
    rank = len(reader.shape_of(x)) + 1
    if 0 in (one % rank, other % rank):
        raise Unbounded("a transpose that moves the batch")
    return reader.gathered(x, lambda t: t.transpose(one, other))


def squeezed(reader: Reader, x: Ref, *axes: Any) -> Ref:
    """Append the removal of axes of length one."""
    rank = len(reader.shape_of(x)) + 1
    places = axes[0] if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes
    if not places or any(axis % rank == 0 for axis in places):
        raise Unbounded("a squeeze that may drop the batch")
    return reader.gathered(x, lambda t: t.squeeze(*axes))


def unsqueezed(reader: Reader, x: Ref, axis: int) -> Ref:
    """Append an axis of length one."""
    if axis % (len(reader.shape_of(x)) + 2) == 0:
        raise Unbounded("an unsqueeze before the batch")
    return reader.gathered(x, lambda t: t.unsqueeze(axis))


def same(reader: Reader, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the values unchanged."""
    del reader, args, kwargs
    return x
