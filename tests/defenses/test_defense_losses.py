"""The loss of every defense against a slow, literal re-implementation of its paper's formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from defenses.distillation import Distillation, SoftenedLoss
from defenses.mart import mart_loss
from defenses.svm import hinge
from defenses.trades import trades_loss
from defenses.wnll.stage import surrogate_loss

CLEAN = [[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-1.0, 3.0, 0.0]]
ATTACKED = [[0.5, 1.0, 0.0], [0.0, 0.4, 0.1], [0.0, 1.0, 2.0]]
Y = [0, 2, 1]


def softmax(row):
    total = sum(math.exp(s) for s in row)
    return [math.exp(s) / total for s in row]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def rows():
    return zip(CLEAN, ATTACKED, Y, strict=True)


def tensors():
    return torch.tensor(CLEAN), torch.tensor(ATTACKED), torch.tensor(Y)


def test_trades():
    expected = mean(-math.log(softmax(c)[y]) + 6 * kl(softmax(c), softmax(a)) for c, a, y in rows())
    assert trades_loss(*tensors(), 6.0).item() == pytest.approx(expected, rel=1e-5)


def test_mart():
    def one(clean, adversarial, y):
        p, q = softmax(clean), softmax(adversarial)
        rival = max(q[k] for k in range(3) if k != y)
        return -math.log(q[y]) - math.log(1 - rival) + 5 * kl(p, q) * (1 - p[y])

    expected = mean(one(*row) for row in rows())
    assert mart_loss(*tensors(), 5.0).item() == pytest.approx(expected, rel=1e-5)


def test_mart_keeps_its_gradient_where_a_wrong_class_is_certain():
    adversarial = torch.tensor([[0.0, 60.0, 0.0]], requires_grad=True)
    mart_loss(torch.zeros(1, 3), adversarial, torch.tensor([0]), 0.0).backward()
    # d/ds_0 (-log p_0) = p_0 - 1, d/ds_0 of -log(1 - p_1) = p_0 - 1/2
    torch.testing.assert_close(adversarial.grad, torch.tensor([[-1.5, 2.0, -0.5]]))


@pytest.mark.parametrize("squared", [False, True])
def test_hinges(squared):
    power = 2 if squared else 1

    def short(value):
        return max(0.0, value) ** power

    expected = {
        "crammer_singer": mean(short(max(2 + s[k] - s[y] for k in range(3) if k != y)) for s, _, y in rows()),
        "weston_watkins": mean(sum(short(2 + s[k] - s[y]) for k in range(3) if k != y) for s, _, y in rows()),
        "one_vs_rest": mean(
            sum(short(2 - (1 if k == y else -1) * s[k]) for k in range(3)) for s, _, y in rows()
        ),
    }
    clean, _, y = tensors()
    for form, value in expected.items():
        assert hinge(clean, y, form=form, margin=2.0, squared=squared).item() == pytest.approx(
            value, rel=1e-5
        )


def test_distillation_at_a_temperature():
    student = nn.Sequential(nn.Flatten(), nn.Linear(2, 3))
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.Dropout(0.9))
    x, y, t = torch.rand(4, 1, 1, 2), torch.tensor([0, 1, 2, 0]), 20.0
    with torch.no_grad():
        p = [softmax(row) for row in (teacher.eval()(x) / t).tolist()]
        logs = (student(x) / t).tolist()
    soft = mean(
        -sum(a * math.log(b) for a, b in zip(q, softmax(s), strict=True))
        for q, s in zip(p, logs, strict=True)
    )
    teacher.train()
    loss, logits = SoftenedLoss(student, teacher, t, 3.0).loss(x, y, None)
    assert loss.item() == pytest.approx(3 * soft, rel=1e-5)
    torch.testing.assert_close(logits, student(x))
    hard = mean(-math.log(softmax(s)[k]) for s, k in zip(logs, y.tolist(), strict=True))
    assert SoftenedLoss(student, None, t).loss(x, y, None)[0].item() == pytest.approx(hard, rel=1e-5)


def test_distillation_begins_with_gradients_as_long_as_those_of_natural_training():
    """At equal scores, as of a fresh network: (p - y) / T times the factor, which T makes p - y again."""
    y = torch.tensor([0, 1, 2, 0])
    slopes = {}
    for scale in ("none", "temperature", "squared"):
        scores = torch.zeros(4, 1, 1, 3, requires_grad=True)
        options = Distillation(scale=scale)
        loss = SoftenedLoss(nn.Flatten(), None, options.temperature, options.factor)
        loss.loss(scores, y, None)[0].backward()
        slopes[scale] = scores.grad.flatten(1)
    scores = torch.zeros(4, 3, requires_grad=True)
    nn.functional.cross_entropy(scores, y).backward()
    torch.testing.assert_close(slopes["temperature"], scores.grad)
    torch.testing.assert_close(slopes["none"], scores.grad / 20)
    torch.testing.assert_close(slopes["squared"], scores.grad * 20)


@pytest.mark.parametrize("kind", ["logits", "simplex"])
def test_eq_13_has_the_value_at_u_and_the_slope_of_cross_entropy_there(kind):
    u, y = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]]), torch.tensor([1, 0])
    surrogate = u.clone().requires_grad_(True)  # the identity of the straight-through source
    loss = surrogate_loss(surrogate, u, y, kind)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(0.5) / 2)
    slopes = {"logits": [[0.1, -0.25, 0.15], [0, 0, 0]], "simplex": [[0, -1, 0], [-0.5, 0, 0]]}
    torch.testing.assert_close(surrogate.grad, torch.tensor(slopes[kind], dtype=torch.float32))
