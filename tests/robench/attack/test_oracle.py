"""The oracle counts, remembers, spares, and never lies about any of it."""

import math
from dataclasses import replace

import pytest
import torch

from robench.attack.ledger import ALL
from robench.attack.losses import cross_entropy, margin
from robench.attack.norms import L2
from robench.attack.oracle import Oracle, chunks, placed
from robench.attack.threat import Goal, ThreatModel
from robench.model.interface import Model
from tests.truths import Lambda, classify, images, joint, linear, random_linear, small_net, two_sources

LINF = ThreatModel(eps=0.1)


def setup(model=None, count=6, threat=LINF, **options):
    model = model or small_net()
    x = images(count)
    y = classify(model, x).clamp_min(0)
    return Oracle(model, x, y, threat, **options), x, y


def test_value_and_gradient_are_those_of_the_loss():
    model = small_net()
    oracle, x, y = setup(model)
    point = x.clone().requires_grad_()
    losses = cross_entropy(model.net(point), y, model.output)
    value, gradient = oracle.value_and_gradient(cross_entropy, x)
    assert torch.allclose(value, losses)
    assert torch.allclose(gradient, torch.autograd.grad(losses.sum(), point)[0])
    assert torch.equal(oracle.value(cross_entropy, x), value)
    assert oracle.ledger.forwards.tolist() == [2] * 6
    assert oracle.ledger.backwards.tolist() == [1] * 6


def test_chunks_change_nothing():
    whole, x, _ = setup()
    parts, _, _ = setup(batch_size=4)
    for a, b in zip(whole.value_and_gradient(margin, x), parts.value_and_gradient(margin, x), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert torch.allclose(whole.outputs(x), parts.outputs(x), atol=1e-6)


def test_a_targeted_goal_turns_the_sign():
    threat = ThreatModel(eps=0.1, goal=Goal.TARGETED)
    plain, x, y = setup()
    opposite = Oracle(plain.model, x, y, threat)
    assert torch.equal(opposite.gradient(margin, x), -plain.gradient(margin, x))
    assert torch.equal(opposite.value(margin, x), -plain.value(margin, x))
    assert opposite.broken.all()  # the prediction is the target
    assert not plain.broken.any()


def test_the_chosen_source_is_differentiated_and_the_own_output_watched():
    model = two_sources(small_net())
    x = images(6)
    y = classify(model, x)
    exact = Oracle(model, x, y, LINF).gradient(cross_entropy, x)
    opposite = Oracle(model, x, y, LINF, source=model.source("turned"))
    assert (exact * opposite.gradient(cross_entropy, x)).flatten(1).sum(1).max() < 0
    assert not opposite.broken.any()  # by the surrogate, every image would be broken


def test_dropping_spares_broken_images_and_remembers_where_they_broke():
    oracle, x, y = setup(drop=True)
    oracle.y = y.clone()
    oracle.y[:2] = (y[:2] + 1) % 4  # misclassified from the start
    oracle.gradient(margin, x)
    assert oracle.broken.tolist() == [True, True, False, False, False, False]
    value, gradient = oracle.value_and_gradient(margin, x + 0.01)
    assert oracle.ledger.forwards.tolist() == [1, 1, 2, 2, 2, 2]
    assert value[:2].tolist() == [-math.inf] * 2
    assert gradient[:2].abs().max() == 0
    assert oracle.outputs(x)[:2].isnan().all()
    assert not oracle.successful(x)[:2].any()
    assert torch.equal(oracle.proposal(x + 0.05)[:2], x[:2])
    assert torch.equal(oracle.proposal(x + 0.05)[2:], x[2:] + 0.05)
    assert oracle.ledger.first_success.tolist() == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 5])
def test_a_budget_is_never_overspent(budget):
    oracle, x, _ = setup(threat=ThreatModel(eps=0.1, budget=budget))
    for _ in range(4):
        oracle.gradient(margin, x)
    passes = oracle.ledger.forwards + oracle.ledger.backwards
    assert passes.tolist() == [budget - budget % 2] * 6
    for _ in range(3):
        oracle.outputs(x)
        oracle.value(margin, x)
    assert (oracle.ledger.forwards + oracle.ledger.backwards).tolist() == [budget] * 6
    assert oracle.finished
    assert oracle.value(margin, x).tolist() == [-math.inf] * 6


def test_points_outside_the_ball_or_box_are_no_success():
    model = linear(torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-2.0, 2.0]))
    x = torch.full((1, 1, 2, 2), 0.55)
    oracle = Oracle(model, x, torch.tensor([0]), LINF)
    oracle.outputs(torch.full_like(x, 0.44))  # crosses, but 0.11 away
    assert not oracle.broken.any()
    oracle.outputs(torch.full_like(x, 0.46))
    assert oracle.broken.all()
    assert oracle.ledger.first_success.tolist() == [2]


def test_a_minimising_oracle_keeps_the_smallest():
    model = linear(torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-2.0, 2.0]))
    x, y = torch.full((1, 1, 2, 2), 0.6), torch.tensor([0])
    threat = ThreatModel(norm=L2, eps=math.inf)
    oracle = Oracle(model, x, y, threat, minimise=True, drop=True)
    assert not oracle.drop  # the first success is not the smallest
    for value in (0.2, 0.45, 0.4, 0.55):
        oracle.outputs(torch.full_like(x, value))
    assert float(oracle.proposal(x).mean()) == pytest.approx(0.45)
    confident = Oracle(model, x, y, threat, minimise=True, confidence=0.5)
    for value in (0.2, 0.45, 0.4, 0.35, 0.55):  # margins 2.4, 0.4, 0.8, 1.2
        confident.outputs(torch.full_like(x, value))
    assert float(confident.proposal(x).mean()) == pytest.approx(0.4)
    modest = Oracle(model, x, y, threat, minimise=True, confidence=50)
    modest.outputs(torch.full_like(x, 0.45))
    modest.outputs(torch.full_like(x, 0.3))
    assert float(modest.proposal(x).mean()) == pytest.approx(0.45)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-4, 0.0), (1e-4, 10.0), (1e4, 0.0), (1.0, 1e3)])
def test_a_clear_lead_is_relative_to_the_leads_that_were_met(scale, offset):
    """Whatever the scores are multiplied by, and whatever is added to all of them."""
    weight, bias = torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-2.0, 2.0])
    model = linear(scale * weight, scale * bias + offset)
    x, y = torch.full((1, 1, 2, 2), 0.6), torch.tensor([0])
    threat = ThreatModel(norm=L2, eps=math.inf)
    oracle = Oracle(model, x, y, threat, minimise=True, least_lead=0.1)
    for value in (0.6, 0.0, 0.46, 0.4, 0.48):  # leads of 8 (0.5 - value): 0.1 of the largest is 0.4
        oracle.outputs(torch.full_like(x, value))
    assert float(oracle.proposal(x).mean()) == pytest.approx(0.4)
    unclear = Oracle(model, x, y, threat, minimise=True, least_lead=2.0)
    for value in (0.6, 0.45, 0.3):
        unclear.outputs(torch.full_like(x, value))
    assert float(unclear.proposal(x).mean()) == pytest.approx(0.45)


def test_outputs_that_are_no_numbers_have_no_lead():
    model = linear(torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-2.0, 2.0]))
    x, y = torch.full((1, 1, 2, 2), 0.6), torch.tensor([0])
    oracle = Oracle(model, x, y, ThreatModel(norm=L2, eps=math.inf), minimise=True, least_lead=0.01)
    for value in (0.6, math.nan, math.inf, 0.2, 0.4):
        oracle.outputs(torch.full_like(x, value))
    assert float(oracle.proposal(x).mean()) == pytest.approx(0.4)


def test_a_silent_success_is_found_and_a_last_success_is_kept():
    model = linear(torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-2.0, 2.0]))
    x, y = torch.full((1, 1, 2, 2), 0.55), torch.tensor([0])
    oracle = Oracle(model, x, y, LINF)
    oracle.outputs(torch.full_like(x, 0.49))
    assert float(oracle.proposal(torch.full_like(x, 0.6)).mean()) == pytest.approx(0.49)
    assert float(oracle.proposal(torch.full_like(x, 0.46)).mean()) == pytest.approx(0.46)
    assert float(oracle.proposal(torch.full_like(x, 0.3)).mean()) == pytest.approx(0.49)  # inadmissible


def test_the_last_question_keeps_the_budget_too():
    model = linear(torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-2.0, 2.0]))
    voting = replace(model, forwards=3)
    x, y = torch.full((1, 1, 2, 2), 0.55), torch.tensor([0])
    for budget, level in ((5, 0.49), (6, 0.48)):
        oracle = Oracle(voting, x, y, ThreatModel(eps=0.1, budget=budget))
        oracle.outputs(torch.full_like(x, 0.49))
        assert float(oracle.proposal(torch.full_like(x, 0.48)).mean()) == pytest.approx(level)
        assert int(oracle.ledger.forwards) <= budget


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_model_that_is_no_number_is_noted_and_never_a_success(bad):
    model = Model(name="bad", net=Lambda(lambda x: x.flatten(1)[:, :4] * bad), classes=4)
    oracle, x, _ = setup(model)
    gradient = oracle.gradient(cross_entropy, x)
    assert torch.isfinite(gradient).all()
    assert oracle.ledger.nonfinite.all()
    assert not oracle.broken.any()
    assert oracle.value(cross_entropy, x).tolist() == [-math.inf] * 6


@pytest.mark.parametrize(
    "mask",
    [torch.round, torch.detach, lambda z: 1e-30 * z.detach().argmax(1, keepdim=True) * torch.ones(1, 4)],
    ids=["rounded", "detached", "argmax"],
)
def test_a_masked_gradient_is_noted(mask):
    inner = small_net().net
    model = Model(name="masked", net=Lambda(lambda x: mask(inner(x))), classes=4)
    oracle, x, _ = setup(model)
    oracle.gradient(margin, x)
    assert oracle.gradient(margin, x).abs().max() == 0
    assert oracle.ledger.zero_gradient.tolist() == [2] * 6
    healthy, x, _ = setup()
    healthy.gradient(margin, x)
    assert healthy.ledger.zero_gradient.max() == 0


def test_a_joint_batch_is_never_split_nor_dropped_nor_mixed():
    model = joint(small_net())
    oracle, x, y = setup(model, drop=True, batch_size=2)
    oracle.y = y.clone()
    oracle.y[0] = (y[0] + 1) % 4
    assert not oracle.drop
    oracle.gradient(margin, x)
    oracle.outputs(x + 0.01)
    assert set(model.net.sizes) == {6}
    proposal = oracle.proposal(x + 0.02)
    assert any(torch.equal(proposal, p) for p in (x, x + 0.01, x + 0.02))


def test_charges_reach_every_image():
    oracle, _, _ = setup()
    oracle.charge(forwards=3, backwards=2)
    assert oracle.ledger.forwards.tolist() == [3] * 6
    assert oracle.ledger.backwards.tolist() == [2] * 6


def test_float64_and_an_empty_batch():
    model = random_linear()
    model.net.double()
    x = images(3, shape=(1, 4, 4), dtype=torch.float64)
    y = classify(model, x)
    oracle = Oracle(model, x, y, LINF, batch_size=2)
    assert oracle.value_and_gradient(margin, x)[0].dtype == torch.float64
    empty = Oracle(model, x[:0], y[:0], LINF)
    assert empty.gradient(margin, x[:0]).shape == (0, 1, 4, 4)
    assert empty.proposal(x[:0]).shape == (0, 1, 4, 4)


def test_the_ledger_tells_when_each_image_broke_and_at_what_cost():
    model = linear(torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-2.0, 2.0]))
    x = torch.tensor([0.55, 0.52, 0.9]).view(3, 1, 1, 1).expand(3, 1, 2, 2).clone()
    oracle = Oracle(model, x, torch.zeros(3, dtype=torch.int64), LINF)
    oracle.begin_try()
    oracle.gradient(margin, x)  # one forward, one backward
    oracle.outputs(x - 0.04)  # breaks the second
    oracle.begin_try()
    oracle.gradient(margin, x - 0.09)  # breaks the first
    ledger = oracle.ledger
    assert ledger.points.tolist() == [3, 3, 3]
    assert ledger.first_success.tolist() == [3, 2, 0]
    assert ledger.first_passes.tolist() == [5, 3, 0]
    assert ledger.first_try.tolist() == [2, 1, 0]
    assert ledger.tries.tolist() == [2, 2, 2]
    silent = Oracle(model, x, torch.zeros(3, dtype=torch.int64), LINF)
    silent.outputs(x)
    assert silent.ledger.tries.tolist() == [1, 1, 1]


def test_dropped_images_make_no_more_tries():
    model = linear(torch.tensor([[1.0] * 4, [-1.0] * 4]), torch.tensor([-2.0, 2.0]))
    x = torch.tensor([0.45, 0.9]).view(2, 1, 1, 1).expand(2, 1, 2, 2).clone()
    oracle = Oracle(model, x, torch.zeros(2, dtype=torch.int64), LINF, drop=True)
    for _ in range(3):
        oracle.begin_try()
        oracle.outputs(x)
    assert oracle.ledger.tries.tolist() == [1, 3]
    assert oracle.ledger.points.tolist() == [1, 3]


def test_images_afford_passes_as_long_as_their_budget_lasts():
    oracle, x, _ = setup()
    assert oracle.affords(10**9).all()
    oracle = Oracle(oracle.model, x, oracle.y, ThreatModel(eps=0.1, budget=3))
    oracle.ledger.book(torch.arange(1), forwards=1, backwards=1)
    assert oracle.affords(1).all()
    assert oracle.affords(2).tolist() == [False] + [True] * (len(x) - 1)
    assert not oracle.affords(4).any()


def test_chunks_cover_the_images_asked_about_once():
    mask = torch.tensor([True, False, True, True, True])
    assert [rows.tolist() for rows in chunks(mask, 3)] == [[0, 2, 3], [4]]
    assert list(chunks(torch.ones(5, dtype=torch.bool), 5)) == [ALL]
    assert [len(rows) for rows in chunks(torch.ones(5, dtype=torch.bool), 2)] == [2, 2, 1]
    assert list(chunks(torch.zeros(5, dtype=torch.bool), 2)) == list(chunks(mask[:0], 2)) == []


def test_a_part_is_placed_in_the_batchs_type_and_a_whole_batch_keeps_its_own():
    batch, part = torch.zeros(3), torch.ones(2, dtype=torch.float64)
    assert placed(part, torch.tensor([2, 0]), batch).tolist() == [1.0, 0.0, 1.0]
    assert placed(part, torch.tensor([0, 1]), batch).dtype == torch.float32
    assert placed(part, ALL, batch) is part
