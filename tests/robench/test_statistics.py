import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.statistics import discordant, mcnemar, wilson


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
