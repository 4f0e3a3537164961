"""Loads objects from a user's file, with consent, and makes recipes from plain functions and classes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from robench.errors import ConfigError
from robench.intake.user_code import attribute, blamed, check_consent, parts_of, short_name
from robench.intake.user_modules import UserModules, source_digest
from robench.model.global_state import kept_global_state

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserObject:
    """A function or class of a user's file.

    Attributes:
        value: the function or class itself.
        name: its name in records, such as `mine.py:MyAttack`.
        digest: SHA-256 of the file and of all files beside it that it imports.
        path: the file, as the user named it; None if unknown.
    """

    value: Any
    name: str
    digest: str
    path: Path | None = None


def user_object(reference: str, *, trust_code: bool, where: str) -> UserObject:
    """Load the object of a reference such as `path/to/mine.py:MyAttack`; a file is run once for each content.

    Process-wide settings that the file changes are restored (`robench.model.global_state`).

    Raises:
        ConfigError: no consent (nothing was run), no such file or name, or an error in the file.
    """
    check_consent(reference, trust_code=trust_code, where=where)
    path, name = parts_of(reference)
    digest = source_digest(path)
    expected = f"{path.name} to be imported without an error"
    with blamed(where or reference, path, expected):
        module = _module(path.absolute(), digest)
    value = attribute(module, name, path, where)
    return UserObject(value=value, name=short_name(reference), digest=digest, path=path)


@cache
def _module(path: Path, digest: str) -> ModuleType:
    del digest  # a changed file is another module
    with kept_global_state():
        return UserModules(path).load()


def is_recipe(value: Any, info: type[Any]) -> bool:
    """Tell whether a class is a complete plugin: it then has an `info` of this type."""
    return isinstance(value, type) and isinstance(getattr(value, "info", None), info)


def recipe_from(user: UserObject, members: Mapping[str, Any], *, where: str) -> type[Any]:
    """Return a subclass of a user's plugin class with some members of ours.

    Raises:
        ConfigError: it is not a frozen dataclass.
    """
    kind = user.value
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is None or "__dataclass_params__" not in vars(kind) or not parameters.frozen:
        got = "a dataclass that is not" if parameters else "a class that is no dataclass"
        do = "Write @dataclass(frozen=True, kw_only=True) above it"
        raise ConfigError(where=where, expected=f"{user.name} as a frozen dataclass", got=got, do=do)
    namespace = {"__module__": kind.__module__, "__doc__": kind.__doc__, **members}
    return dataclasses.make_dataclass(
        kind.__name__, [], bases=(kind,), namespace=namespace, frozen=True, kw_only=True
    )


def recipe_of(
    user: UserObject, parameters: Iterable[inspect.Parameter], members: Mapping[str, Any], *, where: str
) -> type[Any]:
    """Return a frozen dataclass whose options are parameters of a user's function.

    Args:
        user: the function.
        parameters: the parameters that are options.
        members: `__call__`, `info` and `__module__`.
        where: for messages.

    Raises:
        ConfigError: a default is not a plain value.
    """
    fields = [_field(parameter, user.name, where) for parameter in parameters]
    doc = inspect.getdoc(user.value) or f"What {user.name} does."
    name = user.name.rpartition(":")[2]
    return dataclasses.make_dataclass(
        name, fields, namespace={"__doc__": doc, **members}, frozen=True, kw_only=True
    )


def _field(parameter: inspect.Parameter, name: str, where: str) -> tuple[str, Any, Any]:
    from robench.plan.spec import canonical

    kind = parameter.annotation
    if kind is inspect.Parameter.empty or isinstance(kind, str):
        kind = Any
    if parameter.default is inspect.Parameter.empty:
        return parameter.name, kind, dataclasses.field()
    try:
        canonical(parameter.default)
    except (TypeError, ValueError):
        expected = f"plain values as defaults of {name}"
        got = f"{parameter.name}={parameter.default!r:.60}"
        raise ConfigError(where=where, expected=expected, got=got) from None
    default = parameter.default
    return parameter.name, kind, dataclasses.field(default_factory=lambda: default)


def parameters_of(value: Callable[..., Any], where: str) -> list[inspect.Parameter]:
    """Return the parameters of a function or of a class's constructor; annotations as types if known.

    Raises:
        ConfigError: it has no signature.
    """
    try:
        try:
            signature = inspect.signature(value, eval_str=True)
        except Exception:  # noqa: BLE001 - an annotation is the user's code and may raise anything
            signature = inspect.signature(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(where=where, expected="a function written in Python", got=str(error)) from None
    return list(signature.parameters.values())


def options_among(
    parameters: Iterable[inspect.Parameter], *, skip: int, given: Collection[str]
) -> list[inspect.Parameter]:
    """Return the parameters that a user sets: all except the first positional ones and those that we set."""
    rest: list[inspect.Parameter] = []
    count = 0
    for parameter in parameters:
        if parameter.kind in POSITIONAL and count < skip:
            count += 1
        elif parameter.kind in NAMED and parameter.name not in given:
            rest.append(parameter)
    return rest
