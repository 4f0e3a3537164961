import math

import pytest
import torch

from robench.model.rounding import beyond_rounding

SCORES = torch.tensor([[3.0, 1.0, 0.5, -2.0], [0.0, 2.0, 1.5, 1.0]])


@pytest.mark.parametrize("common", [0.0, 1e3, -1e3])
@pytest.mark.parametrize("mask", [-1e4, -1e9, -math.inf])
def test_neither_a_common_part_nor_masked_classes_hide_a_class_that_moved(mask, common):
    masks = torch.full((2, 3), mask)
    first = torch.cat([SCORES + common, masks], dim=1)
    other = first.clone()
    other[1, 0] += 0.1
    assert beyond_rounding(first, other, tolerance=1e-3).tolist() == [False, True]
    assert not beyond_rounding(first, first.clone(), tolerance=0.0).any()


def test_what_the_last_digits_of_a_large_score_do_is_rounding():
    first = SCORES + 1e6
    assert not beyond_rounding(first, first + 0.5, tolerance=1e-4).any()
    assert beyond_rounding(first.double(), first.double() + 0.5, tolerance=1e-4).all()


def test_the_tolerance_is_of_how_far_the_upper_scores_are_apart():
    first = torch.tensor([[1.0, 0.0, -50.0, -100.0]]).double()
    assert not beyond_rounding(first, first + torch.tensor([0.0, 0.019, 0.0, 0.0]), tolerance=1e-2).any()
    assert beyond_rounding(first, first + torch.tensor([0.0, 0.021, 0.0, 0.0]), tolerance=1e-2).all()
