"""Losses mean the same for every output kind."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.attack.losses import (
    LOSSES,
    cross_entropy,
    dlr,
    log_probabilities,
    margin,
    ranked_margin,
    score_margin,
    targeted_dlr,
    targeted_margin,
    without_rejection,
)
from robench.model.interface import OutputKind

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
        truth = loss(z, y, LOGITS)
        assert torch.allclose(loss(z + shift, y, LOGITS), truth, atol=1e-9)
        assert torch.allclose(loss(z.log_softmax(1), y, LOG_P), truth, atol=1e-9)
        assert torch.allclose(loss(z.log_softmax(1), y, LOGITS), truth, atol=1e-9)


def test_cross_entropy_is_minus_log_p_for_every_kind():
    z, y = scores(1)
    truth = F.cross_entropy(z, y, reduction="none")
    assert torch.allclose(cross_entropy(z, y, LOGITS), truth)
    assert torch.allclose(cross_entropy(z.log_softmax(1), y, LOG_P), truth)
    assert torch.allclose(cross_entropy(z.softmax(1), y, SIMPLEX), truth)
    double = F.cross_entropy(z.softmax(1), y, reduction="none")  # the published double softmax
    assert not torch.allclose(cross_entropy(z.softmax(1), y, SIMPLEX), double, atol=0.05)


def test_gradient_of_cross_entropy_survives_a_saturated_softmax():
    z = torch.tensor([[60.0, 0.0, -3.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(cross_entropy(z, torch.tensor([0]), LOGITS).sum(), z)
    exact = torch.autograd.grad(
        F.cross_entropy(double := z.detach().double().requires_grad_(), torch.tensor([0])), double
    )[0]
    assert gradient[0, 0] < 0
    assert torch.allclose(gradient.sum(), torch.tensor(0.0), atol=1e-32)
    assert torch.allclose(gradient.double()[:, 1:], exact[:, 1:], rtol=1e-4, atol=0)


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
    (gradient,) = torch.autograd.grad(value.sum(), u)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


def test_difference_of_logits_ratio_by_hand():
    z = torch.tensor([[5.0, 3.0, 1.0, 0.0], [0.0, 3.0, 5.0, 1.0]])
    y = torch.tensor([0, 1])
    assert torch.allclose(dlr(z, y, LOGITS), torch.tensor([(3 - 5) / (5 - 1), (5 - 3) / (5 - 1)]))
    aims = torch.tensor([[0, 2], [1, 2]])
    truth = torch.tensor([(1 - 5) / (5 - 0.5), (5 - 3) / (5 - 0.5)])
    assert torch.allclose(targeted_dlr(z, aims, LOGITS), truth)
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
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert torch.equal(value, torch.zeros(2))
    assert torch.isfinite(gradient).all()


FARTHEST = ranked_margin(2)
MASKED_ROWS = [  # label 0; -inf masks a class
    [1.0, 2.0, -torch.inf, 0.5],
    [1.0, 2.0, -torch.inf, -torch.inf],
    [1.0, -torch.inf, -torch.inf, -torch.inf],
    [-torch.inf, 2.0, 0.3, 0.5],
    [3.0, 2.0, -torch.inf, 0.5],
]


@pytest.mark.parametrize("loss", [*LOSSES.values(), score_margin, ranked_margin(0), FARTHEST])
@pytest.mark.parametrize("kind", [LOGITS, LOG_P])
def test_masked_classes_leave_losses_and_gradients_finite(loss, kind):
    z, y = torch.tensor(MASKED_ROWS, dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    z = z.requires_grad_(True)
    values = loss(z, y, kind)
    (gradient,) = torch.autograd.grad(values.sum(), z)
    assert torch.isfinite(values).all()
    assert torch.isfinite(gradient).all()
    assert not gradient[z == -torch.inf].any()
    if loss is not FARTHEST:  # its class is masked, so that only the label has a gradient
        assert (gradient[[0, 4]].abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("loss", [cross_entropy, margin, dlr])
def test_a_masked_class_is_as_if_it_were_not_there(loss):
    full = torch.tensor([[1.0, 2.0, -torch.inf, 0.5], [3.0, -torch.inf, 2.0, 0.5]], dtype=torch.float64)
    rest = torch.tensor([[1.0, 2.0, 0.5], [3.0, 2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    full, y = full.requires_grad_(True), torch.zeros(2, dtype=torch.int64)
    value, target = loss(full, y, LOGITS), loss(rest, y, LOGITS)
    assert torch.allclose(value, target, rtol=1e-12, atol=0)
    (gradient,), (truth,) = (torch.autograd.grad(v.sum(), z) for v, z in ((value, full), (target, rest)))
    assert torch.allclose(gradient[full != -torch.inf], truth.flatten(), rtol=1e-12, atol=1e-15)


def test_gradients_beside_a_masked_class_are_those_of_finite_differences():
    z = torch.tensor([[1.0, 2.0, -torch.inf, 0.5]], dtype=torch.float64)
    mask, y = z != -torch.inf, torch.tensor([0])
    for loss in LOSSES.values():

        def value(free, loss=loss):
            return loss(z.masked_scatter(mask, free), y, LOGITS)

        assert torch.autograd.gradcheck(value, z[mask].clone().requires_grad_(True))


@pytest.mark.parametrize("goal", [1, 2, 3])
def test_targeted_losses_of_masked_classes_are_finite(goal):
    z, y = torch.tensor(MASKED_ROWS, dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    z = z.requires_grad_(True)
    for loss in (targeted_dlr, targeted_margin):
        values = loss(z, torch.stack([y, y + goal], dim=1), LOGITS)
        (gradient,) = torch.autograd.grad(values.sum(), z)
        assert torch.isfinite(values).all()
        assert torch.isfinite(gradient).all()


def test_two_classes_left_have_the_margin_for_a_ratio():
    z, y = torch.tensor([[1.0, 2.5, -torch.inf, -torch.inf]], dtype=torch.float64), torch.tensor([0])
    assert dlr(z, y, LOGITS).tolist() == pytest.approx([1.5])
    assert targeted_dlr(z, torch.tensor([[0, 1]]), LOGITS).tolist() == pytest.approx([1.5])
    three = torch.tensor([[1.0, 2.5, 0.5, -torch.inf]], dtype=torch.float64)
    assert targeted_dlr(three, torch.tensor([[0, 1]]), LOGITS).tolist() == pytest.approx([1.5 / 2.0])


@pytest.mark.parametrize("targeted", [False, True])
def test_a_rejection_beside_masked_classes_is_seen_finitely(targeted):
    outputs = torch.tensor([[1.0, -torch.inf, -torch.inf, 0.5], [-torch.inf, 1.0, 0.2, -torch.inf]])
    assert torch.isfinite(without_rejection(outputs, torch.tensor([0, 0]), targeted=targeted)).all()
