"""`python -m benchmarks.coverage`: how often the interval of `robench compare` covers the true gap.

Enumerated over all tables of discordant images, not drawn, so the numbers are exact.
"""

from __future__ import annotations

from collections.abc import Sequence

from robench.record.measures.statistics import gap_interval

SIZES = (100, 200, 500)
EXPECTED = (0, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 4, 5, 5.5, 6, 8, 10, 12, 15)
"""Expected numbers of images that only one model gets right: few."""

SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Shares of them: many."""


def coverages(n: int, truths: Sequence[tuple[float, float]]) -> list[float]:
    """Return for each truth the probability that the interval covers its gap.

    Args:
        n: images of a run.
        truths: shares of images that only the first and only the second model gets right, together at most 1.
    """
    import numpy as np
    from scipy.special import gammaln, xlogy

    pairs = [(first, second) for first in range(n + 1) for second in range(n + 1 - first)]
    ends = np.array([gap_interval(n, first, second) for first, second in pairs])
    counts = np.array([(first, second, n - first - second) for first, second in pairs])
    ways = gammaln(n + 1) - gammaln(counts + 1).sum(axis=1)
    shares = []
    for p, q in truths:
        probabilities = np.exp(ways + xlogy(counts, np.array([p, q, max(0.0, 1 - p - q)])).sum(axis=1))
        inside = (ends[:, 0] <= q - p + 1e-12) & (q - p - 1e-12 <= ends[:, 1])
        shares.append(float(probabilities[inside].sum()))
    return shares


def report() -> list[str]:
    """Return the Markdown lines: the least and the mean coverage for few and for many discordant images."""
    lines = ["| n | few: least | few: mean | many: least | many: mean |", "|---|---|---|---|---|"]
    for n in SIZES:
        few = coverages(n, [(a / n, b / n) for a in EXPECTED for b in EXPECTED])
        many = coverages(n, [(a, b) for a in SHARES for b in SHARES])
        numbers = [number for group in (few, many) for number in (min(group), sum(group) / len(group))]
        lines.append(f"| {n} | " + " | ".join(f"{100 * number:.1f} %" for number in numbers) + " |")
    return lines


if __name__ == "__main__":
    print("\n".join(report()))
