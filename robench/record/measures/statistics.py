"""Confidence intervals of proportions, and tests for paired models. No torch here; scipy only when needed.

`scipy.stats` takes a second to load and milliseconds per call: functions that a board calls thousands of
times are implemented here, and tests compare them with `scipy.stats`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95
_Z = 1.959963984540054
"""The quantile of the normal law at (1 + CONFIDENCE) / 2, as `scipy.special.ndtri` rounds it."""
_MOST_EXACT = 1000
"""Most trials for which binomial coefficients are summed as integers; beyond, that is slow."""
SIGNIFICANCE = 0.05
"""A row shares a rank if the exact McNemar test against the first row of the rank gives at least this."""

ENOUGH_TO_RANK = 100
"""With fewer images a board shows no ranks."""

ENOUGH_BATCHES = 5
"""Least number of batches whose accuracies give an interval; with fewer it would be too wide to be useful."""


def wilson(successes: int, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927).

    Args:
        successes: number of successes.
        n: number of trials; 0 gives (0, 1): nothing is known.
        confidence: probability that the interval covers the truth.

    Raises:
        ValueError: negative numbers, or more successes than trials.

    Example:
        >>> tuple(round(end, 4) for end in wilson(8, 10))
        (0.4902, 0.9433)
    """
    if n == 0:
        return 0.0, 1.0
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    z, p = _quantile(confidence), successes / n
    scale = 2 * (n + z**2)
    centre, half = (2 * n * p + z**2) / scale, z / scale * sqrt(4 * n * p * (1 - p) + z**2)
    # Rounding leaves ends such as -1e-17 and 1 + 1e-16.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


def _quantile(confidence: float) -> float:
    if confidence == CONFIDENCE:
        return _Z
    from scipy.special import ndtri

    return float(ndtri(0.5 + 0.5 * confidence))


def wilson_band(
    successes: Sequence[int], n: int, *, confidence: float = CONFIDENCE
) -> tuple[tuple[float, float], ...]:
    """Return the Wilson score intervals of many proportions with the same n, like `wilson` for one.

    Wilson 1927: (p + z^2/2n ± z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n).
    """
    if n == 0:
        return ((0.0, 1.0),) * len(successes)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    scale = 1 + z**2 / n
    band = []
    for count in successes:
        p = count / n
        centre, half = p + z**2 / (2 * n), z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        low, high = (centre - half) / scale, (centre + half) / scale
        band.append((0.0 if count == 0 else low, 1.0 if count == n else high))
    return tuple(band)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (McNemar 1947; exact: binomial with p = 1/2).

    Args:
        only_first: images only the first model gets right.
        only_second: images only the second model gets right.

    Example:
        >>> mcnemar(1, 5)  # 2 (C(6, 0) + C(6, 1)) / 2^6
        0.21875
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    if 2 * fewer == n:
        return 1.0
    if n > _MOST_EXACT:
        from scipy.special import betainc

        return min(1.0, 2 * float(betainc(n - fewer, fewer + 1, 0.5)))
    tail = term = 1
    for k in range(fewer):
        term = term * (n - k) // (k + 1)
        tail += term
    return min(1.0, float(2 * tail / 2**n))


def above_chance(right: int, n: int, classes: int) -> float:
    """Return the exact probability that guessing gets `right` or more of n right (binomial with p = 1/K).

    Example:
        >>> above_chance(2, 2, 10)
        0.01
    """
    if right == 0:
        return 1.0
    from scipy.special import betainc

    return round(float(betainc(right, n - right + 1, 1 / classes)), 15)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple tests (Holm 1979), in the given order.

    Sorted, the i-th of m (from 0) is multiplied by m - i and is at least the one before; at most 1.

    Example:
        >>> holm([0.04, 0.01, 0.03])
        [0.06, 0.03, 0.06]
    """
    adjusted_values, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(p_values[place] * (len(p_values) - rank), 1.0))
        adjusted_values[place] = least
    return adjusted_values


def discordant(first: Iterable[bool], second: Iterable[bool]) -> tuple[int, int]:
    """Return how many images only the first and only the second of two paired models gets right."""
    pairs = list(zip(first, second, strict=True))
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def gap_interval(
    n: int, only_first: int, only_second: int, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the score interval of the second accuracy minus the first (Tango 1998, Stat. Med. 17:891-908).

    The interval contains all differences that McNemar's score test does not reject. If only one of the two
    models gets images right alone, it is Wilson's interval on the side away from 0. It never has length 0.

    Args:
        n: images judged by both.
        only_first: images only the first gets right.
        only_second: images only the second gets right.
        confidence: probability that the interval covers the truth.

    Example:
        >>> tuple(round(end, 4) for end in gap_interval(161, 16, 6))  # Cavo et al. 2012
        (-0.124, -0.0054)

    Raises:
        ValueError: more discordant images than images, no images, or a confidence outside (0, 1).
    """
    if n < 1 or min(only_first, only_second) < 0 or only_first + only_second > n:
        raise ValueError(f"{only_first} + {only_second} discordant images of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence}, which is not between 0 and 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    # The lower end is the upper end of the reversed difference: the same steps find both.
    return -_upper_gap(n, only_second, only_first, z), _upper_gap(n, only_first, only_second, z)


def _upper_gap(n: int, only_first: int, only_second: int, z: float) -> float:
    """Return the largest gap that the score test does not reject, by bisection: the statistic decreases."""
    inside, outside = (only_second - only_first) / n, 1.0
    while inside < (middle := (inside + outside) / 2) < outside and outside - inside > 1e-15:
        if -_gap_score(n, only_first, only_second, middle) <= z:
            inside = middle
        else:
            outside = middle
    return inside


def _gap_score(n: int, only_first: int, only_second: int, gap: float) -> float:
    """Return the score statistic of a gap inside (-1, 1); negative if it exceeds the observed gap.

    As in Tango 1998, the variance uses the maximum likelihood estimate, under that gap, of the share of
    images that only the first gets right: the positive root of a quadratic.
    """
    if gap < 0:
        return -_gap_score(n, only_second, only_first, -gap)
    linear = (2 * n - only_second + only_first) * gap - only_second - only_first
    root = sqrt(linear**2 + 8 * n * only_first * gap * (1 - gap))
    # Of two equivalent forms of the root, the one without cancellation.
    share = (root - linear) / (4 * n) if linear <= 0 else 2 * only_first * gap * (1 - gap) / (root + linear)
    deviation = sqrt(n * (2 * share + gap * (1 - gap)))
    distance = only_second - only_first - n * gap
    return distance / deviation if deviation else 0.0


def t_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Student's t interval of the mean of independent shares, cut to [0, 1].

    Args:
        values: shares in [0, 1], such as the accuracies of several batches; at least two.
        confidence: probability that the interval covers the truth.

    Raises:
        ValueError: fewer than two values, whose variance is unknown.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} values are too few to estimate a variance")
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * stdev(values) / sqrt(len(values))
    return max(0.0, fmean(values) - half), min(1.0, fmean(values) + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The variation of a number over repetitions, such as seeds.

    Attributes:
        n: number of repetitions.
        mean: their mean.
        deviation: sample standard deviation (n - 1); None for one repetition.
        low: the smallest.
        high: the largest.
    """

    n: int
    mean: float
    deviation: float | None
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation and range of a number over repetitions.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        Spread(n=3, mean=2.0, deviation=1.0, low=1.0, high=3.0)

    Raises:
        ValueError: no repetition.
    """
    if not values:
        raise ValueError("no repetition")
    deviation = stdev(values) if len(values) > 1 else None
    return Spread(n=len(values), mean=fmean(values), deviation=deviation, low=min(values), high=max(values))
