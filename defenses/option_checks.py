"""Checks of the options of all defenses; each error names the refused option. No torch here."""

from __future__ import annotations

import math

from robench.errors import ConfigError


def require(ok: bool, option: str, expected: str, got: object, do: str = "") -> None:
    """Refuse an option's value.

    Args:
        ok: whether the value is valid.
        option: its name.
        expected: the valid values, in words.
        got: the value.
        do: what to do instead.

    Raises:
        ConfigError: `ok` is false.
    """
    if not ok:
        raise ConfigError(where=option, expected=expected, got=repr(got), do=do)


def one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is not one of the choices.

    Raises:
        ConfigError: the value is none of `choices`.
    """
    require(value in choices, option, "one of " + ", ".join(choices), value)


def at_least_one(**options: int) -> None:
    """Refuse a count below 1.

    Raises:
        ConfigError: names the first option that is too small.
    """
    for name, value in options.items():
        require(value >= 1, name, "at least 1", value)


def positive(**options: float | None) -> None:
    """Refuse a size that is not a finite number above 0; None stands for a default.

    Raises:
        ConfigError: names the first option that is wrong.
    """
    for name, value in options.items():
        require(value is None or 0 < value < math.inf, name, "a positive number", value)


def within_box(norm: str, *, noun: str = "radius", **options: float | None) -> None:
    """Refuse an Linf length above 1, such as one meant in units of 1/255.

    Args:
        norm: of the lengths; only `Linf` is checked, because under others the limit depends on the images.
        noun: name of the lengths in the message.
        options: names and values; None stands for a default.

    Raises:
        ConfigError: names the first option that is too large.
    """
    for name, value in options.items():
        do = f"Pixels live in [0, 1]: write {value:g}/255" if value is not None else ""
        is_within = norm != "Linf" or value is None or value <= 1
        require(is_within, name, f"an Linf {noun} of at most 1", value, do)
