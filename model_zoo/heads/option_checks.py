"""Conditions on options of several heads, checked before any work. No torch at import."""

from __future__ import annotations

from robench.errors import ConfigError


def check_scale(n: int, m: int) -> None:
    """Refuse a scale by a neighbour that is not among those a point keeps.

    Raises:
        ConfigError: n is not between 2 and m.
    """
    if not 2 <= n <= m:
        raise ConfigError(
            expected="2 <= n <= m (a point is its own first neighbour)", got=f"n = {n}, m = {m}"
        )


def check_template(template: int | None, least: int, name: str) -> None:
    """Refuse a template smaller than the neighbourhoods in it.

    Args:
        template: training images in the template; None for all.
        least: how many it must have.
        name: name of the option that needs so many.

    Raises:
        ConfigError: `template` is below `least`.
    """
    if template is not None and template < least:
        raise ConfigError(
            expected=f"a template of at least {name} = {least} images",
            got=f"template = {template}",
            do=f"Lower `{name}` or raise `template`",
        )


def check_temperature(tau: float) -> None:
    """Refuse a temperature of the gradient source `kernel` that is not positive.

    Raises:
        ConfigError: `tau` is not above 0.
    """
    if not tau > 0:
        raise ConfigError(expected="tau above 0", got=str(tau))
