"""How sure a measured proportion is, and whether two models differ. No torch here; scipy only when asked."""

from __future__ import annotations

from collections.abc import Iterable

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
"""Two neighbours on a board share a rank when the exact McNemar test gives at least this."""

ENOUGH_TO_RANK = 100
"""With fewer images a board shows no ranks."""


def wilson(successes: int, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927).

    Args:
        successes: how many of the n.
        n: how many were tried; 0 gives (0, 1): nothing is known.
        confidence: probability that the interval covers the truth.

    Example:
        >>> tuple(round(end, 4) for end in wilson(8, 10))
        (0.4902, 0.9433)
    """
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    # Rounding leaves ends such as -1e-17 and 1 + 1e-16.
    return max(0.0, float(interval.low)), min(1.0, float(interval.high))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (McNemar 1947; exact: binomial with p = 1/2).

    Args:
        only_first: images only the first model gets right.
        only_second: images only the second model gets right.

    Example:
        >>> mcnemar(1, 5)  # 2 (C(6, 0) + C(6, 1)) / 2^6
        0.21875
    """
    if only_first + only_second == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def discordant(first: Iterable[bool], second: Iterable[bool]) -> tuple[int, int]:
    """Return how many images only the first and only the second of two paired models gets right."""
    pairs = list(zip(first, second, strict=True))
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
