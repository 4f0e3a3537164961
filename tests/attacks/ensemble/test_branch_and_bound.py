"""Branch and bound as an attack: what it breaks is what integer programming says can be broken."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import robench
from attacks.ensemble.autoattack import AutoAttack
from attacks.ensemble.branch_and_bound import BranchAndBoundAttack
from attacks.ensemble.economical_autoattack import EconomicalAutoAttack
from attacks.gradient.pgd import PGD
from reports.text.bibliography import read_entries
from robench.attack.norms import L2, LINF, NORMS
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.recipe import identity_of
from tests.robench.bounds import networks, truths
from tests.truths import attacked, broken, classify, images

FIXED = BranchAndBoundAttack(seconds=None, domains=400, restarts=2, minimisers=4, polish=4)


def relu_model(widths, seed):
    return Model(name="dense", net=networks.dense(widths, seed), classes=widths[-1])


def breakable(model, x, y, eps):
    """Tell image by image whether the smallest margin over the box is below zero, by HiGHS."""
    least = [
        min(
            truths.milp_minimum(model.net, one, (one - eps).clamp(0, 1), (one + eps).clamp(0, 1), row)
            for row in truths.margins_of(model.classes, int(label))
        )
        for one, label in zip(x, y, strict=True)
    ]
    return torch.tensor(least)


@pytest.mark.parametrize("seed", range(8))
def test_it_breaks_exactly_what_integer_programming_says_can_be_broken(seed):
    model = relu_model([4, 6, 5, 3], seed)
    x = images(6, (1, 2, 2), seed)
    y, eps = classify(model, x), 0.15
    least = breakable(model, x, y, eps)
    x_adv, oracle, _ = attacked(FIXED, model, x, y, norm=LINF, eps=eps)
    sure = least.abs() > 1e-3
    assert torch.equal(broken(model, x_adv, y, x, oracle.threat)[sure], (least < 0)[sure])
    assert bool(oracle.threat.admits(x, x_adv).all())
    assert torch.equal(oracle.broken, broken(model, x_adv, y, x, oracle.threat))
    assert int(oracle.ledger.forwards.min()) > 0


@pytest.mark.thorough
@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_in_every_norm_points_stay_inside_and_nothing_certified_breaks(norm):
    model, x = relu_model([4, 8, 3], 1), images(8, (1, 2, 2), 3)
    y = classify(model, x)
    eps = {"Linf": 0.1, "L2": 0.2, "L1": 0.3}[norm]
    threat = ThreatModel(norm=NORMS[norm], eps=eps)
    x_adv, _, _ = attacked(FIXED, model, x, y, norm=NORMS[norm], eps=eps)
    assert bool(threat.admits(x, x_adv).all())
    pgd, oracle, _ = attacked(PGD(steps=60, restarts=5), model, x, y, norm=NORMS[norm], eps=eps)
    weaker = broken(model, pgd, y, x, oracle.threat) & ~broken(model, x_adv, y, x, threat)
    assert not bool(weaker.any())


def test_it_breaks_an_image_where_gradients_go_the_other_way():
    """The margin 1 - 3 relu(x - 0.3) + 12 relu(x - 0.7) is negative in a valley; a long step jumps it."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0], [1.0]]))
        net[1].bias.copy_(torch.tensor([-0.3, -0.7]))
        net[3].weight.copy_(torch.tensor([[-3.0, 12.0], [0.0, 0.0]]))
        net[3].bias.copy_(torch.tensor([1.0, 0.0]))
    model = Model(name="valley", net=net.eval(), classes=2)
    x, y = torch.full((1, 1, 1, 1), 0.95), torch.tensor([0])
    plain, oracle, _ = attacked(PGD(steps=1, step_size=0.9), model, x, y, norm=LINF, eps=0.9)
    assert not bool(broken(model, plain, y, x, oracle.threat).any())
    x_adv, oracle, _ = attacked(replace(FIXED, restarts=0), model, x, y, norm=LINF, eps=0.9)
    assert bool(broken(model, x_adv, y, x, oracle.threat).all())
    assert 0.6 < float(x_adv) < 0.75


def test_a_run_with_a_count_repeats_itself_and_depends_on_no_other_image():
    model, x = relu_model([4, 8, 8, 3], 5), images(6, (1, 2, 2), 2)
    y = classify(model, x)
    whole, _, _ = attacked(FIXED, model, x, y, norm=LINF, eps=0.08)
    again, _, _ = attacked(FIXED, model, x, y, norm=LINF, eps=0.08)
    assert torch.equal(whole, again)
    order = torch.tensor([3, 0, 5])
    some, _, _ = attacked(FIXED, model, x[order], y[order], indices=order, norm=LINF, eps=0.08)
    assert torch.allclose(some, whole[order], atol=1e-6)


def test_dropped_images_cost_nothing():
    model, x = relu_model([4, 6, 3], 2), images(4, (1, 2, 2), 1)
    y = classify(model, x)
    y[0] = (y[0] + 1) % 3  # wrong as it is: broken by the first question
    _, oracle, _ = attacked(
        AutoAttack(scale=0.02, branch_and_bound=1.0), model, x, y, norm=LINF, eps=0.1, drop=True
    )
    assert int(oracle.ledger.forwards[0]) < int(oracle.ledger.forwards[1:].max())


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "weak",
    [
        AutoAttack(scale=0.01, attacks=("apgd-ce",)),
        EconomicalAutoAttack(
            first_steps=1, steps=1, fab_steps=1, rounds=1, near_steps=1, near_tries=1, least_queries=2,
            queries=2, end_steps=1, refine_queries=2,
        ),
    ],
    ids=["autoattack", "economical"],
)  # fmt: skip
def test_a_cascade_hands_it_what_stands_after_gradients(weak, seed):
    model = relu_model([9, 12, 12, 3], seed + 20)
    x = images(12, (1, 3, 3), seed)
    y = classify(model, x)
    least = breakable(model, x, y, 0.05)
    x_adv, oracle, _ = attacked(replace(weak, branch_and_bound=20.0), model, x, y, norm=LINF, eps=0.05)
    sure = least.abs() > 1e-3
    assert torch.equal(broken(model, x_adv, y, x, oracle.threat)[sure], (least < 0)[sure])


def test_what_cannot_be_bounded_is_refused_by_the_name_of_its_layer_before_any_work():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 3))
    x = images(3, (1, 2, 2), 0)
    y = net(x).argmax(1)
    with pytest.raises(ConfigError, match=r"branch_and_bound on model .*Sigmoid"):
        robench.attack(net, x, y, "branch_and_bound", eps=0.1)
    with pytest.raises(ConfigError, match=r"autoattack on model .*Sigmoid"):
        robench.attack(net, x, y, "autoattack", eps=0.1, branch_and_bound=5.0)
    assert robench.attack(net, x, y, "autoattack", eps=0.1, scale=0.02).robust_accuracy <= 1.0


def test_a_budget_of_passes_is_refused():
    model = relu_model([4, 6, 3], 2)
    threat = ThreatModel(norm=LINF, eps=0.1, budget=100)
    with pytest.raises(ConfigError, match="budget"):
        FIXED.check_model(model, threat, (1, 2, 2))


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": None},
        {"seconds": 0.0},
        {"domains": 0},
        {"restarts": -1},
        {"minimisers": -1},
        {"polish": 0},
    ],
)
def test_limits_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        BranchAndBoundAttack(**options)


def test_it_says_what_it_is():
    info = BranchAndBoundAttack.info
    assert len(read_entries(info.bibtex)) == 2
    assert info.goals == ("untargeted",)
    assert info.randomised


def test_keys_of_cascades_made_before_it_existed_stay_what_they_were():
    assert "branch_and_bound" not in identity_of(AutoAttack())
    assert "branch_and_bound" not in identity_of(EconomicalAutoAttack())
    assert identity_of(AutoAttack(branch_and_bound=3.0))["branch_and_bound"] == 3.0


def test_the_network_is_left_as_it_was():
    model, x = relu_model([4, 6, 3], 2), images(3, (1, 2, 2), 1)
    before = {name: tensor.clone() for name, tensor in model.net.state_dict().items()}
    attacked(FIXED, model, x, classify(model, x), norm=L2, eps=0.3)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.net.state_dict().items())
    assert all(one.grad is None for one in model.net.parameters())
