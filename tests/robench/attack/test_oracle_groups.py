"""The oracle asked about some of its images only, or about points that belong together."""

import dataclasses

import pytest
import torch

from robench.attack.declarations import Declarations
from robench.attack.losses import cross_entropy, margin, ranked_margin
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.model.interface import Model, OutputKind
from tests.truths import Lambda, classify, images, joint, small_net


def fixture(count=6, **options):
    model, x = small_net(seed=1), images(count)
    y = classify(model, x)
    return model, x, y, Oracle(model, x, y, ThreatModel(eps=0.5), **options)


def test_only_the_chosen_images_are_asked_and_paid():
    _, x, _, oracle = fixture()
    rows = torch.tensor([True, False, True, False, False, True])
    with oracle.only(rows):
        value, gradient = oracle.value_and_gradient(cross_entropy, x)
        outputs = oracle.outputs(x)
        with oracle.only(torch.tensor([True, True] + [False] * 4)):  # a choice within the choice
            oracle.outputs(x)
    assert torch.equal(value > -torch.inf, rows)
    assert torch.equal(gradient.flatten(1).abs().amax(dim=1) > 0, rows)
    assert torch.equal(outputs.isfinite().all(dim=1), rows)
    assert oracle.ledger.forwards.tolist() == [3, 0, 2, 0, 0, 2]
    assert oracle.ledger.backwards.tolist() == [1, 0, 1, 0, 0, 1]
    assert oracle.active.all()  # forgotten outside the block
    assert oracle.outputs(x).isfinite().all()


def test_a_joint_batch_is_asked_whole_all_the_same():
    model, x = joint(small_net(seed=1)), images(6)
    y = classify(model, x)
    model.net.sizes.clear()
    oracle = Oracle(model, x, y, ThreatModel(eps=0.5))
    with oracle.only(torch.zeros(6, dtype=torch.bool)):
        assert oracle.outputs(x).isfinite().all()
    assert model.net.sizes == [6]


def test_the_choice_is_forgotten_after_an_error():
    _, _, _, oracle = fixture()
    with pytest.raises(KeyError, match="inside"), oracle.only(torch.zeros(6, dtype=torch.bool)):
        raise KeyError("inside")
    assert oracle.active.all()


def test_reached_is_the_answer_at_the_last_point_admissible_or_not():
    model, x = small_net(seed=1), images(6)
    y = classify(model, x)
    far = 1 - x
    wrong = classify(model, far) != y
    assert wrong.any()
    for track in (True, False):
        oracle = Oracle(model, x, y, ThreatModel(eps=1e-6), track=track)
        oracle.outputs(far)
        assert torch.equal(oracle.reached, wrong)
        assert not oracle.broken.any()  # out of the ball
        oracle.outputs(x)
        assert not oracle.reached.any()


def test_reached_under_a_target_is_the_target():
    model, x = small_net(seed=1), images(6)
    y = classify(model, x)
    target = y.clone()
    target[::2] = (y[::2] + 1) % 4
    oracle = Oracle(model, x, target, ThreatModel(eps=0.1, goal=Goal.TARGETED))
    oracle.outputs(x)
    assert torch.equal(oracle.reached, target == y)


def test_points_that_belong_together_are_neither_dropped_nor_mixed():
    _, x, y, oracle = fixture(drop=True, points_belong_together=True)
    points = x.clone()
    points[0] = 1 - x[0]
    oracle.y = y.clone()
    oracle.y[0] = (y[0] + 1) % 4  # broken at the first look
    oracle.outputs(x)
    assert oracle.broken[0]
    assert oracle.active.all()
    assert torch.equal(oracle.proposal(points), points)


def test_an_attack_declares_by_attributes_of_the_oracle():
    _, _, _, oracle = fixture(minimise=True, confidence=0.5, least_lead=0.1, points_belong_together=True)
    expected = Declarations(minimise=True, confidence=0.5, least_lead=0.1, points_belong_together=True)
    assert oracle.declarations == expected
    for field in dataclasses.fields(Declarations):
        assert getattr(oracle, field.name) == getattr(expected, field.name)
        value = not field.default if isinstance(field.default, bool) else 2.0
        setattr(oracle, field.name, value)
        assert getattr(oracle.declarations, field.name) == getattr(oracle, field.name) == value


def test_ranked_margins_are_the_sorted_leads():
    outputs = torch.tensor([[1.0, 4.0, 2.5, -1.0], [0.0, -2.0, 3.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([1, 0])
    margins = torch.stack([ranked_margin(rank)(outputs, y, OutputKind.LOGITS) for rank in range(3)], dim=1)
    assert margins.tolist() == [[-1.5, -3.0, -5.0], [3.0, 1.0, -2.0]]
    assert torch.equal(margins[:, 0], margin(outputs, y, OutputKind.LOGITS))
    for kind, values in (
        (OutputKind.SIMPLEX, outputs.softmax(1)),
        (OutputKind.LOG_PROBABILITIES, outputs.log_softmax(1)),
    ):
        for rank in range(3):
            assert torch.allclose(ranked_margin(rank)(values, y, kind), margins[:, rank])


def test_every_rank_has_its_own_gradient():
    model = Model(name="scores", net=Lambda(lambda z: z.flatten(1)), classes=4)
    x, y = torch.tensor([0.9, 0.2, 0.6, 0.4]).view(1, 1, 2, 2), torch.tensor([0])
    oracle = Oracle(model, x, y, ThreatModel(eps=1.0))
    gradients = [oracle.gradient(ranked_margin(rank), x).flatten().tolist() for rank in range(3)]
    assert gradients == [[-1, 0, 1, 0], [-1, 0, 0, 1], [-1, 1, 0, 0]]
