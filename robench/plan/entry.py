"""A mapping of a configuration as a pydantic model, and errors with file and line in our words."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from robench.errors import ConfigError, nearest
from robench.plan.file_names import check_label
from robench.plan.spec import Choice
from robench.plan.yaml_reader import Document

_KINDS = {
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "float_type": "a list of numbers",
    "finite_number": "a list of numbers",
    "list_type": "a list",
    "dict_type": "a mapping",
}


def with_place(error: ErrorDetails, document: Document) -> ConfigError:
    """Return one of pydantic's errors, or one of our own refusals, with its line and in our words."""
    details, place, value = error.get("ctx", {}), error["loc"], error["input"]
    name = next((part for part in reversed(place) if isinstance(part, str)), "")
    do = ""
    match error["type"]:
        case "refusal":
            place = (*place, *details["at"])
            expected, got, do = details["expected"], details["got"], details["do"]
        case "missing":
            place, expected, got = place[:-1], f"the key {name!r}", "none"
        case "greater_than_equal":
            expected, got = f"{name}: a whole number of at least {details['ge']}", str(value)
        case "too_short":
            expected, got = f"{name}: at least one item", "an empty list"
        case kind:
            expected, got = f"{name}: {_KINDS.get(kind, error['msg'])}", repr(value)
            do = "Start each item with '- '" if kind == "list_type" else ""
    return ConfigError(where=document.where(place), expected=expected, got=got, do=do)


LONGEST = 200
"""Most characters of a value that a message repeats."""


def refusal(*at: str | int, expected: str, got: str, do: str = "") -> PydanticCustomError:
    """Return the error to raise in a validator, about the value `at` below what is validated."""
    got = got if len(got) <= LONGEST else f"{got[: LONGEST - 3]}..."
    details = {"at": at, "expected": expected, "got": got, "do": do}
    return PydanticCustomError("refusal", "{expected}", details)


def checked(check: Callable[[Any], Any]) -> AfterValidator:
    """Return a validator of a function that raises a ConfigError, which does not know the line."""

    def validate(value: Any) -> Any:
        try:
            return check(value)
        except ConfigError as error:
            raise refusal(expected=error.expected, got=error.got, do=error.do) from None

    return AfterValidator(validate)


@dataclass(frozen=True)
class OneOf:
    """A validator of text that must be one of a few names.

    Attributes:
        allowed: the names.
    """

    allowed: tuple[str, ...]

    def __call__(self, value: str, info: ValidationInfo) -> str:
        """Return the text, or refuse it with the nearest name."""
        if value not in self.allowed:
            expected = f"{info.field_name}: one of {', '.join(self.allowed)}"
            raise refusal(expected=expected, got=repr(value), do=nearest(value, self.allowed))
        return value


def one_of(allowed: Collection[str]) -> AfterValidator:
    """Return a validator of text that is one of a few names."""
    return AfterValidator(OneOf(tuple(allowed)))


@dataclass(frozen=True)
class Different:
    """A validator of a list whose items must be valid and distinct.

    Attributes:
        what: description of the items.
        valid: tells whether an item is valid.
    """

    what: str
    valid: Callable[[Any], bool]

    def __call__(self, values: list[Any], info: ValidationInfo) -> list[Any]:
        """Return the list, or refuse its first wrong item."""
        earlier: set[Any] = set()
        for position, value in enumerate(values):
            if not self.valid(value) or value in earlier:
                expected = f"{info.field_name}: different {self.what}"
                raise refusal(position, expected=expected, got=repr(value))
            earlier.add(value)
        return values


def different(what: str, valid: Callable[[Any], bool]) -> AfterValidator:
    """Return a validator of a list whose items are valid, and each there once."""
    return AfterValidator(Different(what, valid))


def label_in(value: Any) -> str | None:
    """Return the label that an attack or a bound of a configuration is given; None for none.

    Raises:
        PydanticCustomError: it is not text, or not a valid name of a table or file.
    """
    label = value.get("label") if isinstance(value, dict) else None
    if label is None:
        return None
    if not isinstance(label, str):
        raise refusal("label", expected="label: text", got=repr(label))
    try:
        check_label(label)
    except ConfigError as error:
        raise refusal("label", expected=error.expected, got=error.got) from None
    return label


def plugin_choice(value: Any, *, what: str, beside: Collection[str] = ()) -> Choice:
    """Read a plugin's name and options, from `name` or `{name: {option: value}}`.

    Args:
        value: as it stands in the configuration.
        what: what is choice_of, for messages.
        beside: keys that may stand next to the plugin's name.
    """
    if isinstance(value, str) and value:
        return Choice(name=value)
    names = [name for name in value if name not in beside] if isinstance(value, dict) else []
    if len(names) != 1:
        raise refusal(
            expected=f"{what}: a name, or {{name: {{option: value}}}} with one name",
            got=f"the keys {', '.join(map(repr, names))}" if names else repr(value),
            do="Indent the options below the name" if len(names) > 1 else "",
        )
    (name,) = names
    options = value[name]
    if options is not None and not isinstance(options, dict):
        raise refusal(name, expected=f"the options of {name!r} as a mapping", got=repr(options))
    return Choice(name=name, options=dict(options or {}))


def choice_of(what: str) -> PlainValidator:
    """Return a validator that reads a `plugin_choice`."""
    return PlainValidator(partial(plugin_choice, what=what))


Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]
Items = Field(min_length=1)


class Entry(BaseModel):
    """A mapping of a configuration: no other keys, strict types; null means that a key is not given."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)
    title: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refusal(expected=f"{cls.title}: a mapping", got=repr(value))
        keys = cls.keys()
        for name in value:
            if name not in keys:
                do = nearest(str(name), keys)
                raise refusal(name, expected=f"a key of {cls.title}", got=repr(name), do=do)
        return {name: entry for name, entry in value.items() if entry is not None}

    @classmethod
    def keys(cls) -> list[str]:
        """Return the keys it may have."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    def has(self, key: str) -> bool:
        """Tell whether a key is given and not null."""
        return key in self.model_fields_set
