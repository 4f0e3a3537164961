"""Means over fresh draws: no luck in the choice, intervals that cover, an exact paired test."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from robench.record.measures.draws import (
    mean_interval,
    mean_stood,
    paired_p_value,
    share_stood,
    sign_flip,
    worst_draws,
    worst_outcome,
)
from robench.record.measures.statistics import mcnemar, wilson


def drawn(rng, chances, draws):
    """Return one text of 0 and 1 per chance."""
    return ["".join("01"[hit] for hit in (rng.random(draws) < p).tolist()) for p in chances]


@settings(deadline=None)
@given(n=st.integers(1, 60), share=st.floats(0, 1), draws=st.integers(1, 12))
def test_where_no_draw_changes_anything_the_interval_is_wilsons(n, share, draws):
    right = round(share * n)
    result = mean_stood(["1" * draws] * right + ["0" * draws] * (n - right))
    assert (result.mean, result.low, result.high) == pytest.approx((right / n, *wilson(right, n)), abs=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize(("n", "draws"), [(60, 10), (200, 2), (100, 40)])
def test_the_interval_covers_the_mean_of_a_linear_model_behind_gaussian_noise(n, draws):
    # Of an image whose margin is t noise deviations, P(right) = Phi(t). For t ~ N(a, b^2) the mean over
    # images is Phi(a / sqrt(1 + b^2)).
    rng = np.random.default_rng(0)
    for a, b in ((0.5, 1.0), (2.5, 1.0), (2.0, 0.1), (3.0, 0.7)):
        truth = norm.cdf(a / np.sqrt(1 + b**2))
        hits, width, wilsons = 0, 0.0, 0.0
        for _ in range(200):
            result = mean_stood(drawn(rng, norm.cdf(rng.normal(a, b, n)), draws))
            hits += result.low <= truth <= result.high
            width += result.high - result.low
            low, high = wilson(round(result.mean * n), n)
            wilsons += high - low
        assert hits >= 0.92 * 200, (a, b, hits)
        assert width <= wilsons * 1.001  # draws add knowledge: never wider than one question per image


def test_images_that_are_always_wrong_are_not_hidden_by_draws():
    rng = np.random.default_rng(5)
    truth, hits = 0.99 * 0.999, 0
    for _ in range(200):
        result = mean_stood(drawn(rng, np.where(rng.random(200) < 0.01, 0.0, 0.999), 10))
        hits += result.low <= truth <= result.high
    assert hits >= 0.92 * 200


def test_a_coin_that_a_whole_batch_shares_widens_the_interval():
    rng = np.random.default_rng(1)
    hits, n, draws = 0, 400, 10
    for _ in range(200):
        shift = rng.normal(0, 1, draws)  # with two more normal numbers: P(right) = Phi(0.5 / sqrt(3))
        table = rng.normal(0.5, 1, (n, 1)) + shift + rng.normal(0, 1, (n, draws)) > 0
        result = mean_stood(["".join("01"[hit] for hit in row) for row in table.tolist()])
        hits += result.low <= norm.cdf(0.5 / np.sqrt(3)) <= result.high
    assert hits >= 0.85 * 200  # ten draws of one coin; without its component it would be below a half


def test_choosing_among_equal_points_is_not_taken_for_an_attack():
    rng = np.random.default_rng(2)
    points = [drawn(rng, [0.9] * 4000, 10) for _ in range(8)]
    worst = [worst_draws(image) for image in zip(*points, strict=True)]
    assert np.mean([share_stood(w) for w in worst]) == pytest.approx(0.9, abs=0.01)
    lowest = [min(map(share_stood, image)) for image in zip(*points, strict=True)]
    assert np.mean(lowest) < 0.8  # what the minimum would have said


def test_the_worse_point_is_found():
    rng = np.random.default_rng(3)
    pairs = zip(drawn(rng, [0.95] * 4000, 10), drawn(rng, [0.3] * 4000, 10), strict=True)
    assert np.mean([share_stood(worst_draws(pair)) for pair in pairs]) == pytest.approx(0.3, abs=0.02)


@settings(deadline=None)
@given(st.data())
def test_each_draw_is_asked_at_the_point_that_stood_least_in_the_others(data):
    k = data.draw(st.integers(2, 6))
    bits = st.text("01", min_size=k, max_size=k)
    points = data.draw(st.lists(bits, min_size=1, max_size=4))
    signs = worst_draws(points)
    for j in range(k):
        rest = [sum(int(d) for i, d in enumerate(p) if i != j) for p in points]
        assert signs[j] == points[rest.index(min(rest))][j]


def test_among_equals_the_one_that_fell_to_the_attack_is_asked():
    assert worst_draws(["1110", "0111"], [True, True])[1:3] == "11"
    assert worst_draws(["10", "01"], [True, False]) == worst_draws(["01", "10"], [False, True])


def test_single_draws_are_compared_as_verdicts():
    assert worst_outcome([("1", True), ("0", False)]) == "0"
    assert worst_outcome([("1101", True), ("0", False)]) == "1101"  # an earlier version's has no draws


def test_a_point_asked_about_less_often_is_not_left_out():
    strong, weak = ("0" * 10, False), ("1" * 20, True)
    assert worst_outcome([strong, weak]) == worst_outcome([weak, strong]) == "0" * 10
    assert worst_outcome([("1" * 10, True), ("0" * 20, False)]) == "0" * 10
    assert worst_outcome([("0" * 20, False)]) == "0" * 20
    # Still unbiased: of equal points nobody picks the unluckiest.
    rng = np.random.default_rng(3)
    means = [
        share_stood(worst_outcome([(drawn(rng, [0.5], draws)[0], True) for draws in (10, 20, 10)]))
        for _ in range(2000)
    ]
    assert abs(np.mean(means) - 0.5) < 4 * np.std(means) / np.sqrt(2000)


@settings(deadline=None)
@given(only_first=st.integers(0, 40), only_second=st.integers(0, 40), both=st.integers(0, 5))
def test_the_sign_flip_test_of_verdicts_is_mcnemars(only_first, only_second, both):
    first = ["1"] * (only_first + both) + ["0"] * only_second
    second = ["0"] * only_first + ["1"] * (both + only_second)
    exact = mcnemar(only_first, only_second)
    p_value = sign_flip(list(map(int, first)), list(map(int, second)), scale=1)
    assert p_value == pytest.approx(exact, abs=1e-12)
    assert paired_p_value(first, second) == exact
    doubles = [d * 2 for d in first], [d * 2 for d in second]
    assert paired_p_value(*doubles) == pytest.approx(exact, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8))
def test_the_sign_flip_test_counts_all_choices_of_signs(pairs):
    steps = [a - b for a, b in pairs]
    sums = [abs(sum(s * d for s, d in zip(signs, steps, strict=True)))
            for signs in itertools.product((-1, 1), repeat=len(steps))]  # fmt: skip
    exact = sum(s >= abs(sum(steps)) for s in sums) / len(sums)
    p_value = sign_flip([a / 5 for a, _ in pairs], [b / 5 for _, b in pairs], scale=5)
    assert p_value == pytest.approx(exact, abs=1e-12)


def test_the_interval_of_a_mean_change_is_about_that_of_a_normal_law():
    changes = np.random.default_rng(4).normal(0.1, 0.5, 400)
    mean, half = changes.mean(), 1.96 * changes.std() / 20
    assert mean_interval(list(changes)) == pytest.approx((mean - half, mean + half), abs=0.01)


def test_a_few_changes_enumerated():
    # Of the four resamples of (0, 1) the means are 0, 1/2, 1/2, 1.
    assert mean_interval([0.0, 1.0], confidence=0.4) == (0.5, 0.5)
    assert mean_interval([0.0, 1.0], confidence=0.6) == (0.0, 1.0)
    assert mean_interval([0.25] * 3) == (0.25, 0.25)


def test_the_same_seed_gives_the_same_interval_and_the_global_generator_is_left_alone():
    changes = np.random.default_rng(0).normal(size=30).tolist()
    before = np.random.get_state()[1].copy()
    first = mean_interval(changes, seed=3)
    assert first == mean_interval(changes, seed=3) != mean_interval(changes, seed=4)
    assert mean_interval(changes) == mean_interval(changes, seed=0)
    assert (np.random.get_state()[1] == before).all()


def plain_interval(images, z):
    """Return mean and interval as docs/random-models.md has them, by loops over exact numbers."""
    n, k = len(images), len(images[0])
    table = [[Fraction(int(d)) for d in draws] for draws in images]
    rows = [sum(row) / k for row in table]
    columns = [sum(row[j] for row in table) / n for j in range(k)]
    mean = sum(rows) / n
    common = Fraction(0)
    if n > 1 and k > 1:
        between = n * sum((c - mean) ** 2 for c in columns) / (k - 1)
        rest = sum((table[i][j] - rows[i] - columns[j] + mean) ** 2 for i in range(n) for j in range(k))
        common = max(Fraction(0), between - rest / ((n - 1) * (k - 1))) / (n * k)
    spread = float(sum((m - mean) ** 2 for m in rows) + n**2 * common)
    p, c = float(mean), z**2 / 4
    worth = n * (n * p * (1 - p) + c) / (spread + c)
    centre = (p + z**2 / (2 * worth)) / (1 + z**2 / worth)
    half = z / (1 + z**2 / worth) * math.sqrt(p * (1 - p) / worth + z**2 / (4 * worth**2))
    return p, max(0.0, centre - half), min(1.0, centre + half)


@settings(deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda k: st.lists(st.text("01", min_size=k, max_size=k), min_size=1, max_size=6)
    ),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_mean_and_interval_are_those_of_plain_loops(images, confidence):
    result = mean_stood(images, confidence=confidence)
    expected = plain_interval(images, norm.ppf((1 + confidence) / 2))
    assert (result.mean, result.low, result.high) == pytest.approx(expected, abs=1e-12)


def test_ends_that_are_known_are_exact():
    assert mean_stood(["00", "00"]).low == 0.0
    assert mean_stood(["11", "11"]).high == 1.0
    # One coin for both images: (1 0, 1 0) has the component 1/4, so S = n^2 / 4 = 1 and few images' worth.
    result = mean_stood(["10", "10"])
    assert (result.low + result.high) / 2 == pytest.approx(0.5)
    assert result.high - result.low > wilson(1, 2)[1] - wilson(1, 2)[0]


def test_one_point_needs_no_choice():
    assert worst_draws(["0110"]) == "0110"
    assert worst_outcome([("0110", True)]) == "0110"
    assert worst_outcome([("10", True), ("01", True)]) == worst_draws(["10", "01"], [True, True])
    assert worst_outcome([("1", True), ("1", False)]) == "1"


def test_draws_of_different_numbers_are_compared_as_far_as_both_go():
    # A record made with more draws later: those both have are asked.
    assert worst_draws(["111", "00"]) == "00"


def test_where_nothing_differs_there_is_no_evidence():
    assert sign_flip([1, 0.5], [1, 0.5], scale=2) == 1.0
    assert paired_p_value(["1", "0"], ["1", "0"]) == 1.0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.text("01", min_size=2, max_size=2), st.text("01", min_size=3, max_size=3)),
                min_size=1, max_size=6))  # fmt: skip
def test_models_with_different_numbers_of_draws_are_compared_by_their_shares(pairs):
    shares = [Fraction(a.count("1"), 2) - Fraction(b.count("1"), 3) for a, b in pairs]
    sums = [abs(sum(s * d for s, d in zip(signs, shares, strict=True)))
            for signs in itertools.product((-1, 1), repeat=len(shares))]  # fmt: skip
    exact = sum(s >= abs(sum(shares)) for s in sums) / len(sums)
    first, second = zip(*pairs, strict=True)
    assert paired_p_value(first, second) == pytest.approx(exact, abs=1e-12)
