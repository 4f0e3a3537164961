"""What every plugin is: a frozen dataclass of options plus an `info`. No torch here.

A plugin module must not import torch when it is imported (it may inside functions), so that
listing plugins and checking a configuration stay instant.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from dataclasses import dataclass
from typing import Any, TypeVar

from robench.errors import ConfigError, nearest

R = TypeVar("R")

LARGEST = 2**63 - 1
"""Largest whole number an option may be: what a tensor can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What is known of a plugin without running it.

    Attributes:
        title: the name a reader of a table knows it by.
        paper: reference of the method: authors, year, arXiv number.
        bibtex: BibTeX entry, empty where the method has none of its own.
    """

    title: str
    paper: str
    bibtex: str = ""


def describe(recipe: type[Any]) -> dict[str, Any]:
    """Return the options of a recipe with their types and defaults, in declaration order."""
    return {
        field.name: {"type": str(field.type), "default": _default(field)}
        for field in dataclasses.fields(recipe)
        if field.init
    }


def summary(recipe: type[Any]) -> str:
    """Return the first sentence of a recipe's docstring."""
    text = inspect.getdoc(recipe) or ""
    return text.split("\n", maxsplit=1)[0]


def options_of(recipe: Any) -> dict[str, Any]:
    """Return every option of a recipe instance as plain JSON data, defaults included."""
    return {field.name: _plain(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)}


def identity_of(recipe: Any) -> dict[str, Any]:
    """Return the options that tell one recipe from another, as plain JSON data.

    An option marked `robench.plan.LATER` is left out at its default, so that keys made before it existed
    stay what they were.
    """
    later = {
        field.name
        for field in dataclasses.fields(recipe)
        if field.metadata.get("later") and getattr(recipe, field.name) == field.default
    }
    return {name: value for name, value in options_of(recipe).items() if name not in later}


def build(recipe: type[R], options: dict[str, Any], *, where: str) -> R:
    """Make a recipe from plain options, refusing unknown names and wrong types.

    Args:
        recipe: a frozen dataclass.
        options: option name to plain value, as read from YAML; `8/255` is a number.
        where: file and line, for the message.

    Raises:
        ConfigError: an option is unknown, has the wrong type, or its value is refused by the recipe.
    """
    descriptions = describe(recipe)
    for name, value in options.items():
        if name not in descriptions:
            raise ConfigError(
                where=where,
                expected=f"an option of {recipe.__name__}",
                got=repr(name),
                do=nearest(str(name), descriptions) if descriptions else "It has no options",
            )
        entries = value if isinstance(value, list | tuple) else [value]
        if any(type(entry) is int and abs(entry) > LARGEST for entry in entries):
            raise ConfigError(where=where, expected=f"{name}: at most {LARGEST:,}", got="a huge number")
    from pydantic import ValidationError

    try:
        instance: R = _adapter(recipe).validate_python({k: _number(v) for k, v in options.items()})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or recipe.__name__
        if first["type"] == "missing":
            names = ", ".join(options) or "no options"
            usage = getattr(recipe, "usage", "")  # of a user's function: it may not be meant as a plugin
            do = f"Give {name}" + (f", or write it as {usage}" if usage else "")
            expected = f"{name}, which has no default"
            raise ConfigError(where=where, expected=expected, got=names, do=do) from None
        raise ConfigError(
            where=where, expected=f"{name}: {_sentence(first['msg'])}", got=repr(first["input"])
        ) from None
    return instance


def _adapter(recipe: type[Any]) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    if not hasattr(recipe, "__pydantic_config__"):
        recipe.__pydantic_config__ = ConfigDict(strict=False, extra="forbid", arbitrary_types_allowed=True)
    return TypeAdapter(recipe)


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("a valid ")


def _number(value: Any) -> Any:
    """Read the fraction `8/255` as a number and leave everything else alone."""
    if isinstance(value, str) and value.count("/") == 1:
        numerator, denominator = value.split("/")
        try:
            return float(numerator) / float(denominator)
        except (ValueError, ZeroDivisionError):
            return value
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return "required"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"recipe": type(value).__name__, **options_of(value)}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, float) and value in {math.inf, -math.inf}:
        return "inf" if value > 0 else "-inf"  # JSON has no infinity
    return value
