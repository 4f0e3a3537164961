"""Single passes against automatic differentiation."""

import pytest
import torch

from robench.attack.losses import cross_entropy, margin
from robench.attack.questions import Questions
from robench.attack.threat import Goal
from robench.model.interface import NOT_FINITE, GradientSource, Model, OutputKind, predictions
from tests.truths import images, small_net

MODEL = small_net(seed=1)
X, Y = images(5), torch.arange(5) % 4


@pytest.mark.parametrize(("goal", "sign"), [(Goal.UNTARGETED, 1), (Goal.TARGETED, -1)])
def test_a_gradient_is_that_of_autograd_with_the_goals_sign(goal, sign):
    answer = Questions(MODEL, goal).gradient(MODEL.source("exact"), cross_entropy, X, Y)
    point = X.clone().requires_grad_(True)
    losses = torch.nn.functional.cross_entropy(MODEL.net(point), Y, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), point)
    assert torch.allclose(answer.value, sign * losses.detach(), atol=1e-6)
    assert torch.allclose(answer.gradient, sign * gradient, atol=1e-6)
    assert answer.predicted is None
    assert answer.finite.all()
    assert torch.equal(answer.own, MODEL.net(X).detach())


def test_a_surrogate_says_what_it_predicts_and_what_is_no_number_is_zero():
    def turned(x):
        own = MODEL.net(x)
        factor = torch.tensor([-1.0, -1.0, torch.nan, -1.0, -1.0])
        return factor[:, None] * own, own.detach()

    answer = Questions(MODEL, Goal.UNTARGETED).gradient(
        GradientSource("turned", turned, OutputKind.LOGITS), margin, X, Y
    )
    assert answer.finite.tolist() == [True, True, False, True, True]
    assert not answer.gradient[2].any()
    assert torch.equal(answer.predicted[:2], MODEL.net(X).argmin(1)[:2])


def test_what_the_attacker_wants():
    answers = torch.tensor([0, 1, NOT_FINITE, 4])
    y = torch.zeros(4, dtype=torch.int64)
    assert Questions(MODEL, Goal.UNTARGETED).reached(answers, y).tolist() == [False, True, False, False]
    assert Questions(MODEL, Goal.TARGETED).reached(answers, y).tolist() == [True, False, False, False]


def test_the_lead_is_relative_to_the_largest_output_and_ends_where_the_goal_is_not_reached():
    scores = torch.tensor([[1.0, 3.0, -4.0, 0.0], [3.0, 1.0, 0.0, 0.0]])
    y = torch.zeros(2, dtype=torch.int64)
    model = Model(name="plain", net=torch.nn.Identity(), classes=4)
    assert Questions(model, Goal.UNTARGETED).relative_lead(scores, y).tolist() == [0.5, -torch.inf]
    lead = Questions(model, Goal.TARGETED).relative_lead(scores, y)
    assert lead.tolist() == [-torch.inf, pytest.approx(2 / 3)]
    assert torch.equal(predictions(scores), torch.tensor([1, 0]))
