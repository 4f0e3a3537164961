"""Tango's interval against the literature, closed forms, an inversion by brute force, and its own promise."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial

from benchmarks.coverage import coverages
from robench.record.measures.statistics import gap_interval, wilson

Z = 1.959963984540054
TABLES = st.integers(1, 400).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n)).flatmap(
        lambda t: st.tuples(st.just(t[0]), st.just(t[1]), st.integers(0, t[0] - t[1]))
    )
)


@pytest.mark.parametrize(
    ("n", "first", "second", "expected"),
    [
        # Fagerland, Lydersen & Laake 2014, BMC Med. Res. Methodol. 14:19 give first minus second.
        (21, 1, 7, (-0.517, -0.026)),  # Bentur et al. 2009
        (161, 6, 16, (-0.124, -0.005)),  # Cavo et al. 2012
    ],
)
def test_published_examples(n, first, second, expected):
    low, high = gap_interval(n, second, first)
    assert (low, high) == pytest.approx(expected, abs=5e-4)


def test_without_discordant_images_the_interval_still_has_a_width():
    # Nobody differs: both ends are Wilson's upper end of 0 of n, z^2 / (n + z^2).
    for n in (1, 20, 100, 1000):
        end = Z**2 / (n + Z**2)
        assert gap_interval(n, 0, 0) == pytest.approx((-end, end), abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_of_one_kind_only_it_ends_where_wilson_does(counts):
    n, second = counts
    assert gap_interval(n, 0, second)[1] == pytest.approx(wilson(second, n)[1], abs=1e-9)


@settings(deadline=None)
@given(TABLES)
def test_it_holds_the_gap_stays_inside_and_turns_with_the_order(table):
    n, first, second = table
    low, high = gap_interval(n, first, second)
    gap = (second - first) / n
    assert -1 <= low <= gap <= high <= 1
    assert low < high
    mirror = gap_interval(n, second, first)
    assert (-mirror[1], -mirror[0]) == (low, high)


def test_the_ends_are_reached_only_where_every_image_says_so():
    assert gap_interval(10, 0, 10)[1] == 1.0
    assert gap_interval(10, 10, 0)[0] == -1.0
    assert gap_interval(10, 0, 9)[1] < 1.0


def score(n, first, second, gap):
    """Return the score statistic by maximising the likelihood under the gap numerically."""

    def loss(share):  # of images only the first gets right
        terms = ((first, share), (second, share + gap), (n - first - second, 1 - 2 * share - gap))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

    least, most = max(0.0, -gap), (1 - gap) / 2
    solution = minimize_scalar(loss, bounds=(least, most), method="bounded", options={"xatol": 1e-12})
    # The bounded search never tries the ends themselves.
    share = min((float(solution.x), least, most), key=loss)
    variance = (2 * share + gap - gap**2) / n
    distance = (second - first) / n - gap
    return distance / math.sqrt(variance) if variance > 1e-12 else 1e9 * distance


@pytest.mark.parametrize(
    ("n", "first", "second"),
    [(20, 0, 0), (20, 0, 1), (20, 3, 0), (30, 4, 9), (30, 20, 1), (12, 6, 6), (9, 0, 9), (200, 1, 2)],
)
def test_it_is_what_the_score_test_does_not_reject(n, first, second):
    low, high = gap_interval(n, first, second)
    grid = np.linspace(-1, 1, 801)[1:-1]
    passes = [abs(score(n, first, second, float(gap))) <= Z for gap in grid]
    inside = [low <= gap <= high for gap in grid]
    # Where the grid meets an end, rounding of the search decides.
    assert sum(a != b for a, b in zip(passes, inside, strict=True)) <= 1
    for end, sign in ((low, 1), (high, -1)):
        if abs(end) < 1:
            assert score(n, first, second, end) == pytest.approx(sign * Z, abs=1e-4)


def test_it_excludes_zero_exactly_where_mcnemars_score_test_rejects():
    for first, second in itertools.product(range(30), repeat=2):
        low, high = gap_interval(100, first, second)
        chi = abs(first - second) / math.sqrt(first + second) if first + second else 0.0
        assert (low > 0 or high < 0) == (chi > Z)


def test_more_confidence_is_wider():
    narrow, wide = gap_interval(100, 2, 5, confidence=0.8), gap_interval(100, 2, 5, confidence=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("wrong", [(0, 0, 0), (5, 3, 3), (5, -1, 0)])
def test_counts_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="discordant"):
        gap_interval(*wrong)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        gap_interval(10, 1, 2, confidence=confidence)


def test_the_enumeration_of_the_benchmark_is_that_of_scipy():
    (coverage,) = coverages(12, [(0.1, 0.3)])
    total = 0.0
    for first, second in itertools.product(range(13), repeat=2):
        if first + second <= 12:
            low, high = gap_interval(12, first, second)
            chance = multinomial.pmf([first, second, 12 - first - second], 12, [0.1, 0.3, 0.6])
            total += float(chance) * (low <= 0.2 <= high)
    assert coverage == pytest.approx(total, abs=1e-12)


@pytest.mark.thorough
def test_it_covers_also_with_few_discordant_images():
    """Enumerated, not drawn: 100 images, of which 0 to 16 are expected to be discordant, or many."""
    shares = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.055, 0.08, 0.2]
    shares_covered = coverages(100, [(p, q) for p in shares for q in shares])
    assert min(shares_covered) > 0.925
    assert 0.95 < sum(shares_covered) / len(shares_covered) < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 200, 500])
def test_it_covers_in_simulated_runs(n):
    rng = np.random.default_rng(0)
    shares = [0.0, 0.5 / n, 1 / n, 2 / n, 5 / n, 0.05, 0.2]
    frequencies = []
    for p, q in itertools.product(shares, repeat=2):
        draws = rng.multinomial(n, [p, q, 1 - p - q], size=2000)
        ends = {pair: gap_interval(n, *pair) for pair in {(int(a), int(b)) for a, b, _ in draws}}
        hits = [ends[int(a), int(b)][0] <= q - p <= ends[int(a), int(b)][1] for a, b, _ in draws]
        frequencies.append(sum(hits) / len(hits))
    # The enumeration finds 0.927 at least; 2,000 draws add a standard error of 0.006.
    assert min(frequencies) > 0.91
    assert sum(frequencies) / len(frequencies) > 0.95
