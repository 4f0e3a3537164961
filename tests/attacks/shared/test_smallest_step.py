"""The smallest step under linear inequalities: closed forms, conditions of optimality, contradictions."""

import numpy as np
import pytest
from scipy.optimize import linprog

from attacks.shared.smallest_step import smallest_step

WIDE = np.full(3, 10.0)


def program(seed):
    rng = np.random.default_rng(seed)
    rows, least = rng.normal(size=(12, 5)), rng.normal(size=12) / 2
    return rows, least, -rng.uniform(0.2, 1, 5), rng.uniform(0.2, 1, 5)


def test_one_half_space_has_a_closed_form():
    row, least = np.array([[3.0, 0.0, 4.0]]), np.array([10.0])
    step = smallest_step(row, least, -WIDE, WIDE, norm="L2")
    np.testing.assert_allclose(step, [1.2, 0, 1.6], atol=1e-9)  # 10 / 25 of the normal
    step = smallest_step(row, least, -WIDE, WIDE, norm="Linf")
    assert np.abs(step).max() == pytest.approx(10 / 7)
    assert row[0] @ step == pytest.approx(10)


def test_bounds_bind_and_nothing_to_do_is_no_step():
    row, least = np.array([[1.0, 1.0, 0.0]]), np.array([1.0])
    low, high = np.array([-1.0, -1.0, 0.0]), np.array([0.2, 1.0, 0.0])
    np.testing.assert_allclose(smallest_step(row, least, low, high, norm="L2"), [0.2, 0.8, 0], atol=1e-9)
    np.testing.assert_allclose(smallest_step(row, -least, low, high, norm="L2"), np.zeros(3))
    assert smallest_step(row, least * 3, low, high, norm="L2") is None
    assert smallest_step(row, least * 3, low, high, norm="Linf") is None


@pytest.mark.parametrize("seed", range(20))
def test_random_programs_meet_the_conditions_of_optimality(seed):
    """L2: the step is a sum of the tight inequalities' normals, none with a negative weight."""
    rows, least, low, high = program(seed)
    step = smallest_step(rows, least, low, high, norm="L2")
    answer = linprog(np.zeros(5), A_ub=-rows, b_ub=-least, bounds=list(zip(low, high, strict=True)))
    assert (step is None) == (answer.status == 2)
    largest = smallest_step(rows, least, low, high, norm="Linf")
    assert (largest is None) == (step is None)
    if step is None:
        return
    every = np.concatenate([rows, np.eye(5), -np.eye(5)])
    bound = np.concatenate([least, low, -high])
    assert (every @ step >= bound - 1e-7).all()
    assert (every @ largest >= bound - 1e-7).all()
    assert np.abs(largest).max() <= np.abs(step).max() + 1e-7
    from scipy.optimize import nnls

    tight = every[every @ step <= bound + 1e-6]
    if len(tight):
        assert nnls(tight.T, step)[1] < 1e-6
    else:
        np.testing.assert_allclose(step, 0)


def test_some_random_programs_have_a_solution_and_some_none():
    count = sum(smallest_step(*program(seed), norm="L2") is not None for seed in range(20))
    assert 0 < count < 20
