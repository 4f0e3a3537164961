import math
from statistics import fmean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from robench.record.measures.statistics import (
    above_chance,
    discordant,
    holm,
    mcnemar,
    spread,
    t_interval,
    wilson,
    wilson_band,
)


def test_wilson_by_hand():
    # n = 100, 50 right: centre 1/2, half-width z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n), z = 1.959964
    z = 1.959963984540054
    half = z * math.sqrt(0.25 / 100 + z**2 / (4 * 100**2)) / (1 + z**2 / 100)
    assert wilson(50, 100) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-9)
    # all right: from n / (n + z^2) to 1
    assert wilson(10, 10) == pytest.approx((10 / (10 + z**2), 1.0), abs=1e-9)
    assert wilson(0, 10) == pytest.approx((0.0, z**2 / (10 + z**2)), abs=1e-9)


def test_nothing_is_known_from_no_images():
    assert wilson(0, 0) == (0.0, 1.0)


@settings(deadline=None)
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_covers_the_share_and_stays_in_the_unit_interval(counts):
    k, n = counts
    low, high = wilson(k, n)
    assert 0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1


def test_mcnemar_by_hand():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(5, 1) == mcnemar(1, 5)


def test_discordant_counts_pairs():
    assert discordant([True, True, False, False], [True, False, True, True]) == (1, 2)
    with pytest.raises(ValueError, match="argument 2"):
        discordant([True], [True, False])


def test_spread_by_hand():
    result = spread([90.0, 92.0, 97.0])
    assert result.mean == pytest.approx(93.0)
    assert result.deviation == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert (result.low, result.high, result.n) == (90.0, 97.0, 3)
    assert spread([5.0]).deviation is None
    with pytest.raises(ValueError, match="no repetition"):
        spread([])


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04: times 3, 2, 1 gives 0.03, 0.06, 0.04; none may fall below the one before.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_t_interval_by_hand():
    # Mean 0.5, sample deviation 0.1, five values; the 97.5 % point of t with 4 degrees is 2.7764451.
    values = [0.5 - 0.1 * math.sqrt(2), 0.5, 0.5, 0.5, 0.5 + 0.1 * math.sqrt(2)]
    half = 2.7764451 * 0.1 / math.sqrt(5)
    assert t_interval(values) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-7)
    low, high = t_interval([0.9, 1.0, 1.0])
    assert low > 0.7
    assert high == 1.0
    assert t_interval([0.3, 0.3]) == (0.3, 0.3)
    with pytest.raises(ValueError, match="1 values"):
        t_interval([0.5])


COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(deadline=None)
@given(COUNTS, st.sampled_from([0.95, 0.9, 0.99]))
def test_wilson_has_every_bit_of_scipy(counts, confidence):
    k, n = counts
    theirs = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert wilson(k, n, confidence=confidence) == (max(0.0, theirs.low), min(1.0, theirs.high))


@settings(deadline=None)
@given(COUNTS)
def test_mcnemar_is_the_binomial_test_of_scipy(counts):
    k, n = counts  # on both sides of where whole numbers are no longer summed
    assert mcnemar(k, n - k) == pytest.approx(binomtest(k, n, 0.5).pvalue, rel=1e-12, abs=1e-300)


@settings(deadline=None)
@given(COUNTS, st.integers(2, 1000))
def test_above_chance_is_the_binomial_test_of_scipy(counts, classes):
    k, n = counts
    theirs = binomtest(k, n, 1 / classes, alternative="greater").pvalue
    assert above_chance(k, n, classes) == pytest.approx(theirs, rel=1e-12, abs=2e-15)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_t_interval_has_the_quantile_of_scipy(values):
    half = t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    assert t_interval(values) == (max(0.0, fmean(values) - half), min(1.0, fmean(values) + half))


def test_more_successes_than_trials_are_refused():
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


Z90 = 1.6448536269514722


def test_another_confidence_is_another_quantile():
    # Nothing right of n: from 0 to z^2 / (n + z^2), with z of 90 %.
    assert wilson(0, 10, confidence=0.9) == pytest.approx((0.0, Z90**2 / (10 + Z90**2)), abs=1e-12)
    assert wilson_band([0], 10, confidence=0.9)[0] == pytest.approx((0, Z90**2 / (10 + Z90**2)), abs=1e-12)
    # Two values, one degree of freedom: the 75 % point of Cauchy's law is 1, and sd / sqrt(2) = |a - b| / 2.
    assert t_interval([0.4, 0.6], confidence=0.5) == pytest.approx((0.4, 0.6), abs=1e-12)


@pytest.mark.parametrize("n", [1, 7, 100, 100_000])
def test_ends_of_nothing_and_of_everything_are_exact(n):
    assert wilson(0, n)[0] == 0.0
    assert wilson(n, n)[1] == 1.0
    assert wilson_band([0, n], n)[0][0] == 0.0
    assert wilson_band([0, n], n)[1][1] == 1.0


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_band_is_wilsons_interval_many_times(confidence):
    for n in (1, 2, 50):
        band = wilson_band(range(n + 1), n, confidence=confidence)
        assert band == tuple(pytest.approx(wilson(k, n, confidence=confidence)) for k in range(n + 1))
    assert wilson_band([0, 0], 0) == ((0.0, 1.0), (0.0, 1.0))


def test_guessing_by_hand():
    # Of two dice both show a six with 1/36, at least one with 11/36.
    assert above_chance(2, 2, 6) == pytest.approx(1 / 36)
    assert above_chance(1, 2, 6) == pytest.approx(11 / 36)
    assert above_chance(0, 2, 6) == 1.0


def test_a_t_interval_stays_a_share():
    low, high = t_interval([0.0, 0.0, 0.1])
    assert low == 0.0
    assert high < 0.2
    assert t_interval([0.4, 0.6]) == (0.0, 1.0)  # 12.7 deviations of the mean


def test_a_corrected_p_value_is_at_most_1_and_follows_the_smallest():
    # 0.5 times 3, then no smaller than that: all are 1.
    assert holm([0.5, 0.6, 0.7]) == [1.0, 1.0, 1.0]
    # Sorted 0.01, 0.02, 0.9: times 3, 2, 1.
    assert holm([0.9, 0.02, 0.01]) == pytest.approx([0.9, 0.04, 0.03])
