"""Losses mean the same for every output kind."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.losses import (
    LOSSES,
    cross_entropy,
    dlr,
    log_probabilities,
    margin,
    score_margin,
    targeted_dlr,
    targeted_margin,
)
from robench.model import OutputKind

LOGITS, LOG_P, SIMPLEX = OutputKind.LOGITS, OutputKind.LOG_PROBABILITIES, OutputKind.SIMPLEX


def scores(seed, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(8, 5, generator=generator, dtype=dtype), torch.arange(8) % 5


def pairs(y, step=2, classes=5):
    """Each label with the class two further as its target."""
    return torch.stack([y, (y + step) % classes], dim=1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-100, 100))
def test_losses_do_not_notice_a_shift_or_a_log_softmax(seed, shift):
    z, y = scores(seed)
    for loss in LOSSES.values():
        wanted = loss(z, y, LOGITS)
        assert torch.allclose(loss(z + shift, y, LOGITS), wanted, atol=1e-9)
        assert torch.allclose(loss(z.log_softmax(1), y, LOG_P), wanted, atol=1e-9)
        assert torch.allclose(loss(z.log_softmax(1), y, LOGITS), wanted, atol=1e-9)


def test_cross_entropy_is_minus_log_p_for_every_kind():
    z, y = scores(1)
    wanted = F.cross_entropy(z, y, reduction="none")
    assert torch.allclose(cross_entropy(z, y, LOGITS), wanted)
    assert torch.allclose(cross_entropy(z.log_softmax(1), y, LOG_P), wanted)
    assert torch.allclose(cross_entropy(z.softmax(1), y, SIMPLEX), wanted)
    double = F.cross_entropy(z.softmax(1), y, reduction="none")  # the published double softmax
    assert not torch.allclose(cross_entropy(z.softmax(1), y, SIMPLEX), double, atol=0.05)


def test_gradient_of_cross_entropy_survives_a_saturated_softmax():
    z = torch.tensor([[60.0, 0.0, -3.0]], requires_grad=True)
    (found,) = torch.autograd.grad(cross_entropy(z, torch.tensor([0]), LOGITS).sum(), z)
    exact = torch.autograd.grad(
        F.cross_entropy(double := z.detach().double().requires_grad_(), torch.tensor([0])), double
    )[0]
    assert found[0, 0] < 0
    assert torch.allclose(found.sum(), torch.tensor(0.0), atol=1e-32)
    assert torch.allclose(found.double()[:, 1:], exact[:, 1:], rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", [LOGITS, LOG_P])
def test_gradcheck(kind):
    z, y = scores(2, scale=1.0)
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: cross_entropy(t, y, kind), z)
    assert torch.autograd.gradcheck(lambda t: margin(t, y, kind), z)
    assert torch.autograd.gradcheck(lambda t: dlr(t, y, kind), z)
    assert torch.autograd.gradcheck(lambda t: targeted_dlr(t, pairs(y), kind), z)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.sampled_from([0.0, -1e3, 1e3]))
def test_margin_is_positive_exactly_where_the_label_is_not_predicted(seed, shift):
    z, y = scores(seed)
    z = z + shift
    assert torch.equal(margin(z, y, LOGITS) > 0, z.argmax(1) != y)


def test_simplex_margin_is_a_difference_of_u():
    u = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]])
    assert torch.allclose(margin(u, torch.tensor([0, 1]), SIMPLEX), torch.tensor([-0.5, 1.0]))


def test_simplex_with_an_exact_zero_stays_finite():
    u = torch.tensor([[0.0, 1.0]], requires_grad=True)
    assert torch.isfinite(log_probabilities(u, SIMPLEX)).all()
    value = cross_entropy(u, torch.tensor([0]), SIMPLEX)
    (found,) = torch.autograd.grad(value.sum(), u)
    assert torch.isfinite(value).all()
    assert torch.isfinite(found).all()


def test_difference_of_logits_ratio_by_hand():
    z = torch.tensor([[5.0, 3.0, 1.0, 0.0], [0.0, 3.0, 5.0, 1.0]])
    y = torch.tensor([0, 1])
    assert torch.allclose(dlr(z, y, LOGITS), torch.tensor([(3 - 5) / (5 - 1), (5 - 3) / (5 - 1)]))
    aims = torch.tensor([[0, 2], [1, 2]])
    wanted = torch.tensor([(1 - 5) / (5 - 0.5), (5 - 3) / (5 - 0.5)])
    assert torch.allclose(targeted_dlr(z, aims, LOGITS), wanted)
    assert torch.allclose(targeted_margin(z, aims, LOGITS), torch.tensor([-4.0, 2.0]))


def test_difference_of_logits_ratio_with_few_classes():
    three, y, aims = torch.tensor([[5.0, 3.0, 1.0]]), torch.tensor([0]), torch.tensor([[0, 2]])
    assert float(dlr(three, y, LOGITS)) == pytest.approx(-2 / 4)
    assert float(targeted_dlr(three, aims, LOGITS)) == pytest.approx(-4 / 4)
    two, aims = torch.tensor([[5.0, 3.0]]), torch.tensor([[0, 1]])
    assert float(dlr(two, y, LOGITS)) == float(targeted_dlr(two, aims, LOGITS)) == -2


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([1e-3, 0.1, 30.0, 1e4]))
def test_difference_of_logits_ratio_does_not_notice_a_scale_and_keeps_the_sign(seed, factor):
    z, y = scores(seed)
    assert torch.allclose(dlr(factor * z, y, LOGITS), dlr(z, y, LOGITS), rtol=1e-6)
    assert torch.allclose(targeted_dlr(factor * z, pairs(y), LOGITS), targeted_dlr(z, pairs(y), LOGITS))
    assert torch.equal(dlr(z, y, LOGITS) > 0, z.argmax(1) != y)
    assert (dlr(z, y, LOGITS) >= -1 - 1e-9).all()


def test_ratios_of_a_simplex_are_those_of_its_logarithm():
    z, y = scores(3)
    for loss, labels in ((dlr, y), (score_margin, y), (targeted_dlr, pairs(y)), (targeted_margin, pairs(y))):
        assert torch.allclose(loss(z.softmax(1), labels, SIMPLEX), loss(z, labels, LOGITS))
        assert torch.allclose(loss(z.log_softmax(1), labels, LOG_P), loss(z, labels, LOGITS))


def test_ties_are_no_division_by_zero():
    z = torch.zeros(2, 5, requires_grad=True)
    y = torch.tensor([0, 1])
    value = dlr(z, y, LOGITS) + targeted_dlr(z, pairs(y), LOGITS)
    (found,) = torch.autograd.grad(value.sum(), z)
    assert torch.equal(value, torch.zeros(2))
    assert torch.isfinite(found).all()
