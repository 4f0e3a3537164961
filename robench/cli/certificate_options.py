"""The meaning of the options of `robench certify`: methods, limits and radii."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from robench.errors import ConfigError, nearest

if TYPE_CHECKING:
    from robench.plan.spec import Choice, Plan


SMOOTHING = "smoothing"


def smoothed(plan: Plan, name: str, method: list[str] | None) -> bool:
    """Tell whether a model is certified by smoothing.

    Raises:
        ConfigError: no model has that name, or the method cannot be used with it.
    """
    from robench.plan.bounds import METHODS

    specs = {spec.name: spec for spec in plan.models}
    if strangers := [one for one in method or () if one not in (*METHODS, SMOOTHING)]:
        expected, do = (
            f"one of {', '.join(METHODS)}, {SMOOTHING}",
            nearest(strangers[0], (*METHODS, SMOOTHING)),
        )
        raise ConfigError(where="--method", expected=expected, got=repr(strangers[0]), do=do)
    if name not in specs:
        expected = "the name of a model of the configuration"
        raise ConfigError(where="MODEL", expected=expected, got=repr(name), do=nearest(name, specs))
    has_defense = bool(specs[name].inference)
    choices = set(method or [SMOOTHING] if has_defense else method or [])
    if not has_defense and SMOOTHING in choices:
        expected = "a model with `inference: smoothing`, listed first"
        do = "Bounds do without: leave --method out"
        raise ConfigError(where="--method", expected=expected, got=f"{name!r}, which has none", do=do)
    if has_defense and choices != {SMOOTHING}:
        got = f"{name!r}, which has inference defenses"
        raise ConfigError(
            where="--method",
            expected="a model that is bounded as it is",
            got=got,
            do="Use --method smoothing",
        )
    return has_defense


def refuse(options: Mapping[str, object], expected: str, got: str) -> None:
    """Refuse options, by name, that would have no effect.

    Raises:
        ConfigError: one is not None.
    """
    for name, value in options.items():
        if value is not None:
            raise ConfigError(where=name, expected=expected, got=got)


def limits_of(names: list[str] | None, seconds: float | None, domains: int | None) -> list[Choice]:
    """Return the requested ways to bound, with their limits.

    Raises:
        ConfigError: a limit without a search, or an invalid limit.
    """
    from robench.plan.bounds import method_of
    from robench.plan.spec import Choice

    limits: dict[str, float | int | None] = {}
    if seconds is not None or domains is not None:
        limits = {"seconds": seconds, "domains": domains}
        if "branch_and_bound" not in (names or ()):
            option = "--seconds" if seconds is not None else "--domains"
            got = ", ".join(names or ()) or "none"
            raise ConfigError(where=option, expected="--method branch_and_bound", got=got)
    choices = [
        Choice(name=name, options=dict(limits) if name == "branch_and_bound" else {})
        for name in dict.fromkeys(names or ())
    ]
    for choice in choices:
        method_of(choice.name, choice.options, where="--method")
    return choices


def threats_of(norm: str | None, eps: str | None) -> list[tuple[str, float, str]]:
    """Return norm, radius and its text for each radius of the options; none if neither option is set.

    Raises:
        ConfigError: a norm without a radius, or no radius.
    """
    if eps is None:
        if norm is not None:
            raise ConfigError(where="--norm", expected="--eps beside --norm", got="none")
        return []
    return [(norm or "Linf", *_radius(norm, part.strip())) for part in eps.split(",")]


def _radius(norm: str | None, eps: str) -> tuple[float, str]:
    from robench.plan.radius import read_radius

    try:
        value, text = read_radius(eps)
        if value == math.inf:
            raise ValueError
    except ValueError:
        expected = "a finite radius of at least 0, such as 2/255, or several with commas"
        raise ConfigError(where="--eps", expected=expected, got=repr(eps)) from None
    if norm in {None, "Linf"} and value > 1:
        do = f"Pixels live in [0, 1]: write {value:g}/255"
        raise ConfigError(where="--eps", expected="an Linf radius of at most 1", got=text, do=do)
    return value, text


def radii_of(text: str) -> list[float]:
    """Return the radii of an option such as `0,0.25`.

    Raises:
        ConfigError: one is not a finite number of at least 0.
    """
    try:
        radii = [float(part) for part in text.split(",")]
        if not all(0 <= radius < math.inf for radius in radii):
            raise ValueError
    except ValueError:
        expected = "numbers of at least 0 with commas between, such as 0,0.25"
        raise ConfigError(where="--radii", expected=expected, got=repr(text)) from None
    return radii
