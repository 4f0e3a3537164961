import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.statistics import discordant, gap_interval, holm, mcnemar, median_gap_interval, spread, wilson


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


def test_gap_interval_by_hand():
    # 100 images, nobody differs: the gap is 0 in every resample.
    assert gap_interval(100, 0, 0) == (0.0, 0.0)
    # one kind of discordance only: the gap is a binomial share; its normal approximation at n = 10,000
    n, k = 10_000, 400
    low, high = gap_interval(n, 0, k)
    deviation = math.sqrt(k / n * (1 - k / n) / n)
    assert low == pytest.approx(k / n - 1.96 * deviation, abs=2e-4)
    assert high == pytest.approx(k / n + 1.96 * deviation, abs=2e-4)
    # both kinds: variance (p10 + p01 - (p01 - p10)^2) / n
    low, high = gap_interval(n, 300, 500)
    deviation = math.sqrt((0.08 - 0.02**2) / n)
    assert (low, high) == pytest.approx((0.02 - 1.96 * deviation, 0.02 + 1.96 * deviation), abs=4e-4)


def test_gap_interval_turns_with_the_order_and_is_repeatable():
    low, high = gap_interval(50, 3, 9)
    turned = gap_interval(50, 9, 3)
    assert (-turned[1], -turned[0]) == pytest.approx((low, high), abs=0.021)
    assert gap_interval(50, 3, 9) == (low, high)
    for wrong in ((0, 0, 0), (5, 3, 3), (5, -1, 0)):
        with pytest.raises(ValueError, match="discordant"):
            gap_interval(*wrong)


def test_bootstrap_of_two_images_enumerated():
    # Two images, one broken for the first model only. The four resamples of two images give the gaps
    # 0, 1/2, 1/2, 1: the quantiles up to 1/4 are 0, those from there to 3/4 are 1/2, those above are 1.
    assert gap_interval(2, 0, 1, confidence=0.4) == (0.5, 0.5)
    assert gap_interval(2, 0, 1, confidence=0.6) == (0.0, 1.0)
    # The same two images need 0 and 2 more: the medians of the resamples are 0, 1, 1, 2.
    assert median_gap_interval([1, 1], [1, 3], confidence=0.4) == (1.0, 1.0)
    assert median_gap_interval([1, 1], [1, 3], confidence=0.6) == (0.0, 2.0)


def test_gap_interval_agrees_with_drawing_images_one_by_one():
    import numpy as np
    from scipy.stats import bootstrap

    first = np.array([1] * 30 + [0] * 25 + [1] * 45, dtype=float)
    second = np.array([0] * 30 + [1] * 25 + [1] * 45, dtype=float)
    drawn = bootstrap((second - first,), np.mean, method="percentile", n_resamples=20_000, rng=1)
    # Two runs of 20,000 resamples each: the 2.5 % quantile itself is uncertain by about one image in 200.
    assert gap_interval(100, 30, 25) == pytest.approx(tuple(drawn.confidence_interval), abs=0.011)


def test_median_gap_is_paired():
    import numpy as np

    base = np.random.default_rng(1).uniform(0, 10, 200)
    # Every image needs exactly 0.5 more: paired resampling sees no noise at all.
    low, high = median_gap_interval(base.tolist(), (base + 0.5).tolist())
    assert (low, high) == pytest.approx((0.5, 0.5))
    with pytest.raises(ValueError, match=r"equally long|inhomogeneous"):
        median_gap_interval([1.0], [1.0, 2.0])


def test_spread_by_hand():
    found = spread([90.0, 92.0, 97.0])
    assert found.mean == pytest.approx(93.0)
    assert found.deviation == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert (found.low, found.high, found.n) == (90.0, 97.0, 3)
    assert spread([5.0]).deviation is None
    with pytest.raises(ValueError, match="no repetition"):
        spread([])


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04: times 3, 2, 1 gives 0.03, 0.06, 0.04; none may fall below the one before.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
