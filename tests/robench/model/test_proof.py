import torch

from robench.model.proof import Answer, difference


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
