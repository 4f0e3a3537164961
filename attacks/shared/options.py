"""Conditions on the options of all attacks. No torch here."""

from __future__ import annotations

import math

from robench.errors import ConfigError


def at_least(smallest: int, **options: int) -> None:
    """Refuse a count that is too small.

    Raises:
        ConfigError: names the first option below `smallest`.
    """
    for name, value in options.items():
        if value < smallest:
            raise ConfigError(where=name, expected=f"a whole number of at least {smallest}", got=repr(value))


def positive(**options: float | None) -> None:
    """Refuse a size that is not a finite number above 0; None means a default.

    Raises:
        ConfigError: names the first option that is wrong.
    """
    for name, value in options.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(where=name, expected="a finite number above 0", got=repr(value))


def not_negative(**options: float) -> None:
    """Refuse a number that is negative, infinite or NaN.

    Raises:
        ConfigError: names the first option that is wrong.
    """
    for name, value in options.items():
        if not 0 <= value < math.inf:
            raise ConfigError(where=name, expected="a finite number of at least 0", got=repr(value))


def finite_radius(eps: float, attack: str) -> float:
    """Return the radius of a threat model for an attack that cannot do without one.

    Raises:
        ConfigError: the radius is infinite.
    """
    if not math.isfinite(eps):
        raise ConfigError(
            where="eps",
            expected=f"a finite radius for {attack}",
            got="inf",
            do="Give eps a number, or choose an attack that looks for the smallest perturbation, such as cw",
        )
    return eps


def share(**options: float) -> None:
    """Refuse a number outside [0, 1].

    Raises:
        ConfigError: names the first option that is wrong.
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise ConfigError(where=name, expected="a number from 0 to 1", got=repr(value))
