"""The neighbour that sets a point's scale, checked early. No torch at import."""

from __future__ import annotations

from robench.errors import ConfigError


def check_scale(n: int, m: int) -> None:
    """Refuse a scale from a neighbour that a point does not keep.

    Raises:
        ConfigError: n is not between 2 and m.
    """
    if not 2 <= n <= m:
        raise ConfigError(
            expected="2 <= n <= m (a point is its own first neighbour)", got=f"n = {n}, m = {m}"
        )
