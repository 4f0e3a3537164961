"""The state of an attack on one batch: its budget, the images still in work, and what is written down."""

import pytest
import torch
from torch import nn

from robench.attack.attack_state import AttackState
from robench.attack.ledger import ALL
from robench.attack.questions import GradientAnswer
from robench.attack.threat import ThreatModel
from robench.model.interface import Coupling, Model

X = torch.full((3, 1, 1, 2), 0.5)
Y = torch.tensor([0, 0, 0])
RIGHT, WRONG = [1.0, 0.0], [0.0, 1.0]


def state(*, coupling=Coupling.INDEPENDENT, eps=0.3, budget=None, **options):
    model = Model(name="toy", net=nn.Flatten(), classes=2, coupling=coupling)
    return AttackState(model, X, Y, ThreatModel(eps=eps, budget=budget), **options)


def outputs(*rows):
    return torch.tensor(rows)


def test_a_budget_is_spent_to_the_last_pass_and_no_further():
    work = state(budget=5)
    work.charge(forwards=2, backwards=1)
    assert work.affords(2).all()
    assert not work.affords(3).any()
    work.charge(forwards=1, backwards=0)
    assert (work.active.tolist(), work.finished) == ([True] * 3, False)
    work.charge(forwards=0, backwards=1)
    assert (work.active.tolist(), work.finished) == ([False] * 3, True)
    assert state().affords(10**9).all()


@pytest.mark.parametrize(
    ("options", "active"),
    [
        ({}, [True, True, True]),
        ({"drop": True}, [True, False, True]),
        ({"drop": True, "points_belong_together": True}, [True, True, True]),
        ({"drop": True, "minimise": True}, [True, False, True]),
        (
            {"drop": True, "minimise": True, "eps": float("inf")},
            [True, True, True],
        ),  # the first may not be least
        ({"drop": True, "coupling": Coupling.JOINT}, [True, True, True]),
    ],
)
def test_a_broken_image_is_dropped_only_where_nothing_better_can_come(options, active):
    work = state(**options)
    work.note_answers(ALL, X + 0.1, outputs(RIGHT, WRONG, RIGHT), forwards=1)
    assert work.broken.tolist() == [False, True, False]
    assert work.active.tolist() == active
    assert not work.finished


def test_a_point_outside_the_ball_reaches_the_goal_and_breaks_nothing():
    work = state(drop=True)
    work.note_answers(ALL, X + torch.tensor([0.2, 0.4, 0.2]).view(3, 1, 1, 1), outputs(WRONG, WRONG, RIGHT))
    assert work.reached.tolist() == [True, True, False]
    assert work.broken.tolist() == [True, False, False]
    assert torch.equal(work.best[1:], X[1:])


def test_only_some_images_are_in_work_inside_a_block_and_blocks_inside_it_leave_fewer():
    work = state()
    with work.only(torch.tensor([True, True, False])):
        assert work.active.tolist() == [True, True, False]
        with work.only(torch.tensor([False, True, True])):
            assert work.active.tolist() == [False, True, False]
        assert work.active.tolist() == [True, True, False]
    assert work.active.all()
    with pytest.raises(ZeroDivisionError), work.only(torch.tensor([False] * 3)):
        _ = 1 / work.active.sum().item()  # none is active
    assert work.active.all()
    joint = state(coupling=Coupling.JOINT)
    with joint.only(torch.tensor([False] * 3)):
        assert joint.active.all()
    assert joint.batch_size == 3


def test_passes_are_counted_for_the_images_of_the_rows_and_reported_as_a_sum():
    reports = []
    work = state(on_passes=reports.append)
    rows = torch.tensor([0, 2])
    work.note_answers(rows, X[rows], outputs(RIGHT, RIGHT), forwards=2, backwards=1)
    work.charge(forwards=1, backwards=0)
    work.note_answers(rows, X[rows], outputs(RIGHT, RIGHT))  # counted elsewhere: nothing to report
    assert work.ledger.forwards.tolist() == [3, 1, 3]
    assert work.ledger.backwards.tolist() == [1, 0, 1]
    assert work.ledger.points.tolist() == [2, 0, 2]
    assert reports == [2 * 3, 3]


def test_the_try_of_the_first_success_is_noted_and_the_first_need_not_be_announced():
    work = state()
    work.note_answers(ALL, X, outputs(WRONG, RIGHT, RIGHT), forwards=1)
    work.begin_try()
    work.note_answers(ALL, X, outputs(WRONG, WRONG, RIGHT), forwards=1)
    work.begin_try()
    work.note_answers(ALL, X, outputs(RIGHT, WRONG, WRONG), forwards=1)
    assert work.ledger.first_try.tolist() == [1, 1, 2]
    assert work.ledger.first_success.tolist() == [1, 2, 3]
    assert work.ledger.first_passes.tolist() == [1, 2, 3]


def test_without_tracking_no_point_is_kept():
    work = state(track=False, drop=True)
    work.note_answers(ALL, X + 0.1, outputs(WRONG, WRONG, WRONG), forwards=1)
    assert work.reached.all()
    assert not work.broken.any()
    assert work.ledger.points.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, 0.1), ({"confidence": 0.5}, 0.2), ({"confidence": 5.0}, 0.1), ({"least_lead": 0.9}, 0.2)],
)
def test_a_confident_point_goes_before_a_smaller_one(options, size):
    work = state(minimise=True, **options)
    for distance, lead in ((0.2, 1.0), (0.1, 0.2)):
        work.note_answers(ALL, X + distance, outputs(*[[0.0, lead]] * 3))
    assert work.best_size.tolist() == pytest.approx([size] * 3)


def test_only_losses_of_one_ascent_are_compared():
    work = state()
    work.follow_ascent(torch.tensor([9.0, 9.0, 9.0]))  # outside of an ascent: not kept
    with work.ascent():
        for loss in ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [4.0, 2.0, 5.0]):
            work.follow_ascent(torch.tensor(loss))
    assert work.ledger.rise.tolist() == [3.0, 0.0, 2.0]
    with work.ascent():
        work.follow_ascent(torch.tensor([100.0] * 3))
    assert work.ledger.rise.tolist() == [3.0, 0.0, 2.0]


def test_a_gradient_s_faults_are_noted_for_its_rows():
    work = state()
    rows, no = torch.tensor([1, 2]), torch.tensor([False, True])
    answer = GradientAnswer(
        source="", own=outputs(RIGHT, RIGHT), predicted=None, value=torch.zeros(2),
        gradient=torch.zeros(2, 1, 1, 2), finite=no, zero=no,
    )  # fmt: skip
    work.note_answers(rows, X[rows], answer.own, forwards=1, backwards=1, gradient=answer)
    assert work.ledger.nonfinite.tolist() == [False, True, False]
    assert work.ledger.zero_gradient.tolist() == [0, 0, 1]
    assert work.ledger.gradients.tolist() == [0, 1, 1]
