"""Robustness of random models: each image is judged under several fresh draws of noise. No torch here.

The attacker chooses a point before the noise is drawn. So a point is measured by the probability that the
model stands there, not by the one attacked draw: an attack that repeats until a draw is wrong was only lucky,
and the next draw may be right. docs/random-models.md derives the formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm, sqrt
from statistics import NormalDist

from robench.record.measures.statistics import CONFIDENCE, discordant, mcnemar


def worst_draws(points: Sequence[str], robust: Sequence[bool] = ()) -> str:
    """Return the outcomes of an image, draw by draw, at the worst of its points.

    In each draw the point is used at which the image stood least often in all *other* draws. So the outcome
    never influences the choice, and is an unbiased trial of the chosen point; the minimum of the points'
    means would be too low, because among equal points it takes the unluckiest.

    Args:
        points: per point one 0 (broken) or 1 (stood) for each draw, the same number for all points.
        robust: per point whether it stood in the attacked draw; among equal points one that did not stand is
            taken, and among those the first.

    Example:
        >>> worst_draws(["1111", "0110"])
        '0110'
    """
    if len(points) == 1:
        return points[0]
    totals = [point.count("1") for point in points]
    luck = list(robust) or [False] * len(points)
    signs = []
    for draw in range(min(map(len, points))):
        others = [(totals[i] - (point[draw] == "1"), luck[i], i) for i, point in enumerate(points)]
        signs.append(points[min(others)[2]][draw])
    return "".join(signs)


def worst_outcome(points: Sequence[tuple[str, bool]]) -> str:
    """Return the outcomes of an image at the worst of its points; see `worst_draws`.

    Points with a single draw, as for a model that is not random, are compared by this draw; they are left out
    if other points have more draws. If points have 10 and 20 draws, for example from two runs, the first 10
    draws of each are compared: every draw is fresh, and no point is left out.

    Args:
        points: per point its draws, and whether it stood in the attacked draw; at least one point.
    """
    most = max(len(draws) for draws, _ in points)
    if most == 1:
        return min(draws for draws, _ in points)
    comparable = [point for point in points if len(point[0]) > 1]
    least = min(len(draws) for draws, _ in comparable)
    return worst_draws([draws[:least] for draws, _ in comparable], [robust for _, robust in comparable])


def share_stood(draws: str) -> float:
    """Return the share of draws in which an image stood, in [0, 1]."""
    return draws.count("1") / len(draws)


@dataclass(frozen=True, slots=True)
class MeanStood:
    """How often images stood on average, with its interval.

    Attributes:
        mean: over images, of the share of draws in which each stood.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    mean: float
    low: float
    high: float


def mean_stood(images: Sequence[str], *, confidence: float = CONFIDENCE) -> MeanStood:
    """Return the mean over images and draws, and an interval for new images under new noise.

    Images are a sample and draws are made for each of them, so the means m_i of the images are independent,
    and their spread S = sum (m_i - m)^2 contains both sources of randomness: the variance of m is about
    S / n^2; with one draw per image it would be m (1 - m) / n. The interval is Wilson's (1927) for the
    equivalent number of images with one draw, n (n m (1 - m) + c) / (S + c) with c = z^2 / 4, Wilson's own
    term: few errors say little about S. It is the plain interval if no draw changes anything or no image ever
    broke: more draws do not show images outside the sample. Randomness that all images share in a draw, such
    as one coin for a whole batch, is not in S: its variance (two-way analysis of variance) is added.

    Args:
        images: per image one 0 or 1 for each draw; at least one image and one draw.
        confidence: probability that the interval covers the truth.
    """
    n = len(images)
    means = [share_stood(draws) for draws in images]
    mean = sum(means) / n
    spread = sum((m - mean) ** 2 for m in means) + n**2 * _common(images)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    worth = n * (n * mean * (1 - mean) + z**2 / 4) / (spread + z**2 / 4)
    centre, scale = worth * mean + z**2 / 2, worth + z**2
    half = z * sqrt(worth * mean * (1 - mean) + z**2 / 4)
    # Rounding leaves ends such as -1e-17 and 1 + 1e-16.
    low = 0.0 if mean == 0 else max(0.0, (centre - half) / scale)
    return MeanStood(mean, low, 1.0 if mean == 1 else min(1.0, (centre + half) / scale))


def _common(images: Sequence[str]) -> float:
    """Return the part of the mean's variance that all images share in a draw, at least 0."""
    import numpy as np

    n, k = len(images), min(map(len, images))
    if n < 2 or k < 2:
        return 0.0
    table = np.array([[draw == "1" for draw in draws[:k]] for draws in images], dtype=float)
    rows, columns, mean = table.mean(axis=1, keepdims=True), table.mean(axis=0), table.mean()
    between = n * float(((columns - mean) ** 2).sum()) / (k - 1)
    within = float(((table - rows - columns + mean) ** 2).sum()) / ((n - 1) * (k - 1))
    return max(0.0, between - within) / (n * k)


def sign_flip(first: Sequence[float], second: Sequence[float], *, scale: int) -> float:
    """Return the exact two-sided p-value of the sign-flip test of paired numbers (Fisher 1935, section 21).

    If the two do not differ, each difference could equally have the other sign: the p-value is the share of
    all 2^n choices of signs whose sum is at least as far from 0. For differences of -1, 0 and 1 it is the
    exact McNemar test.

    Args:
        first: one number per image, an integer multiple of 1 / `scale`.
        second: the same for the same images.
        scale: for instance the number of draws, or the product of two of them.

    Example:
        >>> round(sign_flip([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1], scale=1), 5)  # as mcnemar(5, 1)
        0.21875
    """
    import numpy as np
    from scipy.signal import fftconvolve
    from scipy.stats import binom

    steps = [round((a - b) * scale) for a, b in zip(first, second, strict=True)]
    sizes: dict[int, int] = {}
    for step in filter(None, steps):
        sizes[abs(step)] = sizes.get(abs(step), 0) + 1
    # The distribution of the sum of positive steps: of `count` equal sizes, a binomial number are positive.
    law = np.ones(1)
    for size, count in sizes.items():
        part = np.zeros(size * count + 1)
        part[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        law = fftconvolve(law, part) if len(law) > 1 else part
    total = len(law) - 1
    far = abs(2 * np.arange(total + 1) - total) >= abs(sum(steps))
    return float(min(1.0, max(0.0, law[far].sum())))


def paired_p_value(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the p-value for "two paired models are equal"; each image has a text of draws per model.

    The exact McNemar test if every image has one draw; otherwise the sign-flip test of the images' means.
    """
    draws = [{len(image) for image in images} for images in (first, second)]
    if all(lengths <= {1} for lengths in draws):
        return mcnemar(*discordant([image == "1" for image in first], [image == "1" for image in second]))
    scale = lcm(*draws[0], *draws[1])
    return sign_flip([share_stood(i) for i in first], [share_stood(i) for i in second], scale=scale)


def mean_interval(
    changes: Sequence[float], *, confidence: float = CONFIDENCE, resamples: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Return the paired bootstrap interval of a mean change over images (Efron 1979, percentile).

    Args:
        changes: one per image, at least one; for random models they include the randomness of the draws.
        confidence: probability that the interval covers the truth.
        resamples: bootstrap samples.
        seed: of the resampling; the global generators are left alone.
    """
    import numpy as np

    values, generator = np.array(changes, dtype=float), np.random.default_rng(seed)
    means = [values[generator.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
