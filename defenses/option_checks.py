"""What the options of every defense must satisfy; each check names the option it refuses. No torch here."""

from __future__ import annotations

import math

from robench.errors import ConfigError


def require(ok: bool, option: str, expected: str, got: object, do: str = "") -> None:
    """Refuse an option's value.

    Args:
        ok: whether the value will do.
        option: its name.
        expected: what would do, in words.
        got: the value.
        do: what to do instead.

    Raises:
        ConfigError: `ok` is false.
    """
    if not ok:
        raise ConfigError(where=option, expected=expected, got=repr(got), do=do)


def one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is none of the choices.

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
