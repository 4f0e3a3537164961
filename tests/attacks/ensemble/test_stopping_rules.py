"""The rules of an economical cascade: a closed form, and progress made up by hand."""

import math

import pytest
import torch

from attacks.ensemble.stopping_rules import (
    FAB_BLOCK,
    OPTIMISM,
    any_of,
    ascending,
    linearised_distance,
    searching,
    shrinking,
)
from attacks.minimal.fab import towards
from robench.attack.losses import score_margin
from robench.attack.norms import NORMS
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from tests.attacks.toys import distances
from tests.truths import classify, images, joint, random_linear, small_net

norms = pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])


def oracle_of(model, count):
    x = images(count)
    return Oracle(model, x, classify(model, x), ThreatModel(eps=0.1))


def rule(count=4, *, together=False):
    model = small_net(seed=1)
    return oracle_of(joint(model) if together else model, count)


@norms
def test_the_distance_is_exact_for_a_linear_model_from_wherever_one_looks(norm):
    model = random_linear(classes=2, shape=(1, 4, 4), centred=True)
    x = images(20, (1, 4, 4), 0, 0.45, 0.55)
    y, threat = classify(model, x), ThreatModel(norm=NORMS[norm], eps=0.1)
    oracle = Oracle(model, x, y, threat)
    point = threat.clip(x + 0.1 * (images(20, (1, 4, 4), 3) - 0.5))
    estimates = linearised_distance(x, point, towards(oracle, score_margin, None), threat)
    truth = distances(model, x, y, norm)
    inside = truth < 0.3  # the box is not in the way there
    assert int(inside.sum()) > 10
    close = torch.isclose(estimates.double(), truth, rtol=1e-3, atol=1e-4)
    assert bool(close[inside].all())
    assert oracle.ledger.forwards.tolist() == oracle.ledger.backwards.tolist() == [1] * 20


def test_there_is_no_distance_where_no_slope_leads_or_the_box_ends():
    model = random_linear(classes=2, shape=(1, 1, 2))
    with torch.no_grad():
        model.net[1].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        model.net[1].bias.copy_(torch.tensor([2.0, 0.0]))
    x = images(3, (1, 1, 2))
    oracle = Oracle(model, x, torch.zeros(3, dtype=torch.int64), ThreatModel(eps=0.1))
    distances = linearised_distance(x, x, towards(oracle, score_margin, None), oracle.threat)
    assert distances.isinf().all()  # the first pixel would have to be 2
    with torch.no_grad():
        model.net[1].weight.zero_()
    flat = linearised_distance(x, x, towards(oracle, score_margin, None), oracle.threat)
    assert flat.isinf().all()
    with oracle.only(torch.tensor([False, True, False])), torch.no_grad():
        model.net[1].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        model.net[1].bias.copy_(torch.tensor([-1.0, 0.0]))
        part = linearised_distance(x, x, towards(oracle, score_margin, None), oracle.threat)
    assert part.isinf().tolist() == [True, False, True]
    assert float(part[1]) == 0  # the clean image is beyond the boundary already


def test_an_ascent_goes_on_while_its_last_progress_leads_to_the_boundary():
    watch = ascending(rule(), 20)
    assert watch(torch.tensor([-1.0, -1.0, -1.0, -1.0]), 5).all()  # the first block is not judged
    # 10 steps are left after a block of 5: what is missing may be OPTIMISM * 2 times what was gained.
    gain = torch.tensor([0.0, 0.1, 0.3, 2.0])
    assert watch(-1 + gain, 10).tolist() == [False, False, True, True]
    assert OPTIMISM == 2


def test_fab_goes_on_while_its_smallest_point_shrinks_into_the_ball():
    steps = 3 * FAB_BLOCK
    watch = shrinking(rule(5), 0.1, steps)
    assert watch(torch.full((5,), 9.0), 1).all()  # between two looks nobody stops
    assert watch(torch.tensor([0.3, 0.3, 0.3, math.inf, math.inf]), FAB_BLOCK).all()
    now = torch.tensor([0.3, 0.24, 0.22, math.inf, 0.9])
    # One block is left: OPTIMISM * 0.06 does not take 0.24 to 0.1, OPTIMISM * 0.08 does take 0.22 there.
    assert watch(now, 2 * FAB_BLOCK).tolist() == [False, False, True, False, True]


def test_a_search_goes_on_for_close_calls_or_where_it_matches_the_gradients():
    rival = torch.tensor([-1.0, -1.0, -8.0, -2.0])
    close = torch.tensor([True, False, False, False])
    watch = searching(rule(), least=100, rival=rival, close=close)
    for queries in range(1, 100):
        assert watch(torch.full((4,), -9.0), queries).all()  # the least queries are for all
    assert watch(torch.tensor([-9.0, -5.0, -8.0, -2.0]), 100).tolist() == [True, False, True, True]
    assert watch(torch.full((4,), -9.0), 101).tolist() == [True, False, True, True]
    # Looked at again when the queries have doubled; nobody comes back but for a reason.
    assert watch(torch.tensor([-9.0, -5.0, -8.0, -2.1]), 200).tolist() == [True, False, True, False]


def test_a_search_ends_for_a_close_call_without_an_answer():
    close = torch.tensor([True, True, False, False])
    watch = searching(rule(), least=2, rival=torch.zeros(4), close=close)
    assert watch(torch.tensor([-torch.inf, -1.0, -torch.inf, -1.0]), 2).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_a_joint_batch_goes_on_as_one():
    hopeful = torch.tensor([False, True, False, False])
    assert any_of(rule(), hopeful).tolist() == hopeful.tolist()
    assert any_of(rule(together=True), hopeful).all()
    assert not any_of(rule(together=True), hopeful & False).any()
    assert ascending(rule(together=True), 20) is None
    watch = searching(rule(together=True), least=100, rival=torch.zeros(4), close=hopeful)
    assert watch(torch.full((4,), -9.0), 100).all()
    watch = searching(rule(together=True), least=100, rival=torch.zeros(4), close=hopeful & False)
    assert not watch(torch.full((4,), -9.0), 100).any()


@pytest.mark.parametrize("least", [3, 7, 201])
def test_every_image_gets_the_least_queries_of_a_search_be_they_odd(least):
    nobody = torch.zeros(4, dtype=torch.bool)
    watch = searching(rule(), least=least, rival=torch.zeros(4), close=nobody)
    for queries in range(1, least + 1):
        assert watch(torch.full((4,), -9.0), queries).all()
    assert not watch(torch.full((4,), -9.0), least + 1).any()
