import pytest
import torch

from robench.model.proof import Answer, Distance, difference, distance


def answer(own):
    return Answer(own=own, surrogate=own, gradient=torch.ones(len(own), 1, 2, 2))


def test_behind_a_mask_no_class_goes_unseen():
    own = torch.tensor([[1.0, 0.2, -1e4], [0.3, 0.9, -1e4]])
    other = own + torch.tensor([[0.0, 0.9, 0.0]])
    assert "scores differ by more than rounding" in difference(answer(own), answer(other))
    assert difference(answer(own), answer(own.clone())) == ""


def test_rounding_of_a_sound_copy_is_let_through():
    torch.manual_seed(0)
    own = 5 * torch.randn(16, 10)
    assert difference(answer(own), answer(own * (1 + 1e-6))) == ""
    assert "of the largest" in difference(answer(own), answer(own * 1.01))


def test_the_distance_of_outputs_is_relative_to_the_largest_and_that_of_gradients_the_median():
    own = torch.tensor([[4.0, -1.0], [2.0, 0.5], [0.0, 1.0]])
    gradient = torch.tensor([[3.0, 4.0], [0.0, 5.0], [5.0, 0.0]]).view(3, 1, 1, 2)
    one = Answer(own=own, surrogate=2 * own, gradient=gradient)
    own_aside = own + torch.tensor([[0.0, 0.1], [0.0, 0.0], [0.0, 0.0]])
    gradient_aside = gradient + torch.tensor([0.0, 0.05, 5.0]).view(3, 1, 1, 1)
    apart = distance(one, Answer(own=own_aside, surrogate=2 * own, gradient=gradient_aside))
    assert apart.outputs == pytest.approx(0.1 / 4)
    assert apart.gradients == pytest.approx(0.05 * 2**0.5 / 5, rel=1e-4)
    assert distance(one, one) == Distance()
    other = Answer(own=own, surrogate=2.2 * own, gradient=gradient)
    assert distance(one, other).outputs == pytest.approx(0.1)


def test_numbers_that_are_not_finite_in_either_are_left_out_of_the_distance():
    own = torch.tensor([[4.0, float("inf")], [float("nan"), 2.0]])
    one = Answer(own=own, surrogate=own, gradient=torch.full((2, 1, 1, 1), float("nan")))
    assert distance(one, one) == Distance()


def test_of_two_distances_the_larger_counts_measure_by_measure():
    assert Distance(1.0, 4.0).or_more(Distance(3.0, 2.0)) == Distance(3.0, 4.0)


def test_records_have_two_digits_of_each_measure():
    assert Distance(1.2345e-7, 0.0).measures() == {"outputs": 1.2e-7, "gradients": 0.0}
