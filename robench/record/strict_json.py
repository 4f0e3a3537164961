"""Plain JSON data to frozen dataclasses, strictly: an error names the path of the wrong field."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Self, get_args, get_origin, get_type_hints

Radius = Annotated[float, "inf"]
"""A float; infinity is written as the text `inf`."""

Whole = Annotated[int, "of any size"]
"""An integer that may have more than 64 bits, such as a seed."""

DEEPEST = 64
"""Deepest nesting of lists and objects: deeper data would exhaust the stack of recursive code."""

UNWRITTEN = {"written": False}
"""Metadata of a field that is not written to files."""

_WHOLE = 2**63
_NUMBERS = {int, float}
_ALWAYS_GOOD = (str, bool)
_SCALARS = {str, int, bool, NoneType}
_KINDS = {str: "text", int: "a whole number of 64 bits", float: "a finite number", bool: "true or false"}


class FieldError(ValueError):
    """A field has an invalid value.

    Args:
        expected: the valid values, and the path of the field.
        got: its value, in words.
    """

    def __init__(self, *, expected: str, got: str) -> None:
        self.expected, self.got = expected, got
        super().__init__(f"expected {expected}, got {got}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A JSON object with known fields; unknown fields, for example of a later version, are kept.

    Attributes:
        extra: values of unknown fields, by name.
        stated: the names in the order in which they were read; None for an object that was not read.
    """

    extra: Mapping[str, Any] = field(default_factory=dict)
    stated: tuple[str, ...] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def read(cls, data: Any, *, path: str = "") -> Self:
        """Return the object that plain JSON data describes.

        Args:
            data: a mapping; lists in it become tuples.
            path: of the object, for messages.

        Raises:
            FieldError: a field is missing or of another type; names it.
        """
        values = read_fields(cls, data, path=path, surplus=True)
        return cls(**values, stated=tuple(data))

    def plain(self) -> dict[str, Any]:
        """Return plain JSON data: fields that were read, in that order, then other non-default fields."""
        cls: Any = type(self)
        fields = _own_fields(cls)
        values = {one.name: getattr(self, one.name) for one in fields}
        values |= self.extra
        changes = (one.name for one in fields if not _is_default(one, values[one.name]))
        names = dict.fromkeys((*(self.stated or ()), *changes, *self.extra))
        return {name: _plain(values[name]) for name in names if name in values}


def read_fields(cls: Any, data: Any, *, path: str, surplus: bool = False) -> dict[str, Any]:
    """Return the arguments of a dataclass in plain JSON data.

    Args:
        cls: the class; its annotations give the types of the fields.
        data: a mapping.
        path: of the object, for messages.
        surplus: put unknown fields into `extra` instead of refusing them.

    Raises:
        FieldError: a field is missing, unknown, or of another type; names it.
    """
    if not isinstance(data, Mapping) or not (set(map(type, data)) <= {str} or all(map(_is_text, data))):
        raise FieldError(expected=f"an object in the field `{path}`", got=described(data))
    values: dict[str, Any] = {}
    for name, kind, is_needed, plain in _layout(cls):
        if name in data:
            value = data[name]
            if not (plain and type(value) is kind):
                value = read_value(value, kind, path=f"{path}.{name}" if path else name)
            values[name] = value
        elif is_needed:
            place = f"{path}.{name}" if path else name
            raise FieldError(expected=f"a field `{place}`", got="none")
    strangers: dict[str, Any] = {}
    if len(values) < len(data):
        strangers = {name: value for name, value in data.items() if name not in values}
    if surplus:
        return {**values, "extra": strangers} if strangers else values
    if strangers:
        raise FieldError(
            expected=f"known fields in `{path or 'the record'}`", got=repr(next(iter(strangers))[:80])
        )
    return values


def read_value(value: Any, kind: Any, *, path: str) -> Any:
    """Return a value converted to a type: a list becomes a tuple if the type is one; else it is unchanged.

    Raises:
        FieldError: it is of another type, or not finite.
    """
    if type(kind) is type and kind in _KINDS:  # most fields
        if type(value) is not kind or kind in _NUMBERS:
            _check_all([value], kind, path)
        return value
    if type(value) is kind:
        return value  # a part that was read before
    return _read_compound(value, kind, path)


def _read_compound(value: Any, kind: Any, path: str) -> Any:
    if kind is Any:
        return value
    if kind is Radius or kind is Whole:
        return _read_unbounded(value, kind, path)
    if type(kind) is type and dataclasses.is_dataclass(kind):
        return _read_object(value, kind, path)
    origin, args = get_origin(kind), get_args(kind)
    if value is None and NoneType in args:
        return value
    if origin is UnionType:
        return read_value(value, next(one for one in args if one is not NoneType), path=path)
    if origin is list or origin is tuple:
        if not isinstance(value, list | tuple):
            raise FieldError(expected=f"a list in the field `{path}`", got=described(value))
        has_length = origin is tuple and args[-1] is not Ellipsis
        if has_length and len(value) != len(args):
            raise FieldError(expected=f"{len(args)} entries in the field `{path}`", got=str(len(value)))
        if dataclasses.is_dataclass(args[0]):
            return tuple(_read_object(item, args[0], f"{path}[{at}]") for at, item in enumerate(value))
        _check_all(value, args[0], path)
        return tuple(value) if origin is tuple else value
    if origin is Mapping:
        return _read_mapping(value, args[1], path)
    _check_all([value], kind, path)
    return value


def _read_mapping(value: Any, kind: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise FieldError(expected=f"an object in the field `{path}`", got=described(value))
    if kind is not Any and not (kind is str and set(map(type, value.values())) <= {str}):
        for name, item in value.items():
            _check_all([item], kind, f"{path}.{name[:80]}")
    return value


def check_depth(value: Any, *, path: str = "", depth: int = 0) -> None:
    """Refuse data with NaN or infinity, which JSON does not have, or with too deep nesting.

    Raises:
        FieldError: names the field.
    """
    if depth > DEEPEST:
        raise FieldError(
            expected=f"at most {DEEPEST} objects inside one another", got=f"more in `{path[:80]}`"
        )
    if type(value) in _SCALARS:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise FieldError(expected=f"a finite number in the field `{path}`", got=str(value))
    if isinstance(value, Mapping):
        for name, item in value.items():
            check_depth(item, path=f"{path}.{name}" if path else str(name), depth=depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            check_depth(item, path=path, depth=depth + 1)


def described(value: Any) -> str:
    """Return a short description of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if not isinstance(value, int) or abs(value) < _WHOLE else "a huge number"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _read_unbounded(value: Any, kind: Any, path: str) -> Any:
    if kind is Radius:
        return math.inf if value == "inf" else read_value(value, float, path=path)
    if type(value) is not int:
        raise FieldError(expected=f"a whole number in the field `{path}`", got=described(value))
    return value


def _read_object(value: Any, kind: Any, path: str) -> Any:
    if type(value) is kind:
        return value  # read before
    if issubclass(kind, Part):
        return kind.read(value, path=path)
    values = read_fields(kind, value, path=path)
    try:
        return kind(**values)
    except ValueError as error:
        raise FieldError(expected=f"what fits together in the field `{path}`", got=str(error)) from None


def _check_all(values: Sequence[Any], kind: Any, path: str) -> None:
    """Refuse values if one is not exactly of a plain type; integers are valid floats too."""
    types = set(map(type, values))
    good = types <= ({int, float} if kind is float else {kind})
    if good and kind is int:
        good = not values or (min(values) >= -_WHOLE and max(values) < _WHOLE)
    if good and kind is float:
        good = _finite(*values)
    if good:
        return
    wrong = next(v for v in values if not _fits(v, kind))
    raise FieldError(expected=f"{_KINDS[kind]} in the field `{path}`", got=described(wrong))


def _fits(value: Any, kind: Any) -> bool:
    if kind is float:
        return type(value) in {int, float} and _finite(value)
    return type(value) is kind and (kind is not int or -_WHOLE <= value < _WHOLE)


def _finite(*values: float) -> bool:
    try:
        return all(map(math.isfinite, values))
    except OverflowError:  # a whole number beyond every float
        return False


def _is_text(name: Any) -> bool:
    return isinstance(name, str)


@cache
def _layout(cls: Any) -> tuple[tuple[str, Any, bool, bool], ...]:
    """Return for every field: name, type, whether it is required, whether any value of the type is valid."""
    kinds = get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    return tuple(
        (
            one.name,
            kind := kinds[one.name],
            one.default is missing and one.default_factory is missing,
            kind in _ALWAYS_GOOD or dataclasses.is_dataclass(kind),
        )
        for one in _own_fields(cls)
    )


@cache
def _own_fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    fields = (one for one in dataclasses.fields(cls) if one.metadata.get("written", True))
    return tuple(one for one in fields if one.name not in {"extra", "stated"})


def _is_default(one: dataclasses.Field[Any], value: Any) -> bool:
    if one.default_factory is not dataclasses.MISSING:
        return bool(value == one.default_factory())
    return one.default is not dataclasses.MISSING and bool(value == one.default)


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.plain()
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return list(value) if isinstance(value, tuple) else value
