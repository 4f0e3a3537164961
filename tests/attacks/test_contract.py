"""What every attack of ours promises besides being right."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM, ascend
from attacks.gradient.pgd import PGD
from attacks.minimal.cw import CW
from robench.attack.losses import cross_entropy
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Model
from robench.randomness import Randomness
from robench.recipe import build
from tests.truths import attacked, broken, classify, images, joint, small_net

ATTACKS = {
    "fgsm": (FGSM(), LINF, 0.06),
    "ifgsm": (IFGSM(steps=6, step_size=0.02), LINF, 0.06),
    "pgd": (PGD(steps=6), LINF, 0.06),
    "pgd-l2": (PGD(steps=6, restarts=2), L2, 0.2),
    "cw": (CW(steps=25, learning_rate=0.02), L2, 0.3),
}
every = pytest.mark.parametrize("name", ATTACKS)


def attack_of(name):
    attack, norm, eps = ATTACKS[name]
    return attack, {"norm": norm, "eps": eps}


@every
def test_it_is_an_attack_and_says_what_it_is(name):
    attack, _ = attack_of(name)
    assert isinstance(attack, Attack)
    assert "arXiv" in attack.info.paper
    assert attack.info.bibtex.count("{") == attack.info.bibtex.count("}")
    assert type(attack).__doc__


@every
def test_splitting_and_permuting_the_batch_changes_nothing(name):
    attack, threat = attack_of(name)
    model, x = small_net(seed=1), images(24)
    y = classify(model, x)
    whole, _, _ = attacked(attack, model, x, y, **threat)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    permutation, _, _ = attacked(attack, model, x[order], y[order], indices=order, **threat)
    assert torch.allclose(permutation, whole[order], atol=1e-5)
    assert torch.equal(broken(model, permutation, y[order]), broken(model, whole, y)[order])
    for part in torch.split(torch.arange(24), 7):
        piece, _, _ = attacked(attack, model, x[part], y[part], indices=part, **threat)
        assert torch.allclose(piece, whole[part], atol=1e-5)
    small, _, _ = attacked(attack, model, x, y, batch_size=5, **threat)
    assert torch.allclose(small, whole, atol=1e-5)


@every
def test_the_same_seed_gives_the_same_bits(name):
    attack, threat = attack_of(name)
    model, x = small_net(seed=1), images(24)
    first, again = (attacked(attack, model, x, seed=3, **threat)[0] for _ in range(2))
    other, _, last = attacked(attack, model, x, seed=4, **threat)
    del other
    assert torch.equal(first, again)
    assert attack.info.randomised != torch.equal(attacked(attack, model, x, seed=3, **threat)[2], last)


@every
def test_dropping_changes_no_verdict(name):
    attack, threat = attack_of(name)
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    y[:3] = (y[:3] + 1) % 4  # misclassified from the start
    plain, full, _ = attacked(attack, model, x, y, **threat)
    dropping, cheap, _ = attacked(attack, model, x, y, drop=True, **threat)
    assert torch.equal(broken(model, plain, y), broken(model, dropping, y))
    assert 5 < int(broken(model, plain, y).sum()) < 36
    assert torch.equal(cheap.ledger.first_success > 0, full.ledger.first_success > 0)
    passes, without = int(cheap.ledger.backwards.sum()), int(full.ledger.backwards.sum())
    assert passes == without == 40 if name == "fgsm" else passes < without  # of one step none can be spared


@pytest.mark.parametrize(
    ("attack", "norm", "forwards", "backwards"),
    [
        (FGSM(), LINF, 1, 1),
        (IFGSM(steps=7), LINF, 7, 7),
        (PGD(steps=5), LINF, 5, 5),
        (PGD(steps=5, restarts=3), LINF, 18, 15),
        (CW(steps=9), L2, 10, 9),
        (CW(steps=9, binary_search_steps=2), L2, 20, 18),
    ],
    ids=str,
)
def test_the_ledger_equals_the_analytic_count(attack, norm, forwards, backwards):
    model, x = small_net(), images(6)
    y = classify(model, x)
    oracle = Oracle(model, x, y, ThreatModel(norm=norm, eps=1e-4), minimise=attack.info.minimises)
    attack(oracle, Randomness(0, torch.arange(6)))
    assert oracle.ledger.forwards.tolist() == [forwards] * 6
    assert oracle.ledger.backwards.tolist() == [backwards] * 6


@every
@pytest.mark.parametrize("budget", [1, 7, 12])
def test_a_budget_is_kept(name, budget):
    attack, options = attack_of(name)
    model, x = small_net(seed=1), images(20)
    threat = ThreatModel(budget=budget, **options)
    x_adv, oracle, _ = attacked(attack, model, x, threat=threat)
    assert int((oracle.ledger.forwards + oracle.ledger.backwards).max()) <= budget
    assert torch.isfinite(x_adv).all()


@every
def test_joint_batches_are_kept_whole(name):
    attack, threat = attack_of(name)
    model, x = joint(small_net(seed=1)), images(12)
    y = classify(model, x)
    model.net.sizes.clear()
    x_adv, oracle, _ = attacked(attack, model, x, y, drop=True, batch_size=4, **threat)
    assert set(model.net.sizes) == {12}
    assert int(broken(model, x_adv, y).sum()) >= 1
    assert len(oracle.ledger.forwards.unique()) == 1


def test_restarts_of_a_joint_batch_are_not_mixed():
    model, x = joint(small_net(seed=1)), images(12)
    y = classify(model, x)
    threat, rng = ThreatModel(eps=1e-3), Randomness(0, torch.arange(12))  # nothing breaks
    proposal = PGD(steps=3, restarts=3)(Oracle(model, x, y, threat), rng)
    ends = []
    for restart in range(3):
        start, oracle = threat.sample(x, rng.split("restart", restart)), Oracle(model, x, y, threat)
        ends.append(ascend(oracle, start, loss=cross_entropy, steps=3, step_size=2.5e-3 / 3))
    means = [Oracle(model, x, y, threat).value(cross_entropy, end).mean() for end in ends]
    best = max(range(3), key=lambda i: means[i])
    assert torch.allclose(proposal, ends[best], atol=1e-7)


@every
def test_model_and_global_generators_are_untouched(name):
    attack, threat = attack_of(name)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 4)
    ).train()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    model = Model(name="m", net=net, classes=4)
    before = model.fingerprint()
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    x, y = images(5), torch.tensor([0, 1, 2, 3, 0])
    clean = x.clone()
    with evaluation_mode(net):
        oracle = Oracle(model, x, y, ThreatModel(**threat), minimise=attack.info.minimises)
        attack(oracle, Randomness(0, torch.arange(5)))
        assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.modules())
    assert model.fingerprint() == before
    assert torch.equal(net[0].weight.grad, torch.ones_like(net[0].weight))
    assert net[5].weight.grad is None
    assert torch.equal(x, clean)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]


def test_more_restarts_never_break_less():
    model, x = small_net(seed=1), images(60)
    y = classify(model, x)
    one, _, _ = attacked(PGD(steps=4), model, x, y, eps=0.05)
    many, _, _ = attacked(PGD(steps=4, restarts=5), model, x, y, eps=0.05)
    assert not (broken(model, one, y) & ~broken(model, many, y)).any()


@pytest.mark.parametrize("drop", [False, True])
def test_restarts_keep_the_highest_final_loss(drop):
    model, x = small_net(seed=1), images(20)
    y = classify(model, x)
    tiny = ThreatModel(eps=0.003)  # nothing breaks: the loss decides
    rng = Randomness(0, torch.arange(20))
    attack = PGD(steps=1, step_size=1e-4, restarts=4)
    proposal = attack(Oracle(model, x, y, tiny, drop=drop), rng)
    value = Oracle(model, x, y, tiny).value
    losses = []
    for restart in range(4):
        start = tiny.sample(x, rng.split("restart", restart))
        oracle = Oracle(model, x, y, tiny)
        end = ascend(oracle, start, loss=cross_entropy, steps=1, step_size=1e-4)
        losses.append(value(cross_entropy, end))
    assert torch.allclose(value(cross_entropy, proposal), torch.stack(losses).amax(0))
    assert (torch.stack(losses).argmax(0) > 0).any()


@pytest.mark.parametrize("attack", [FGSM(), PGD()], ids=lambda a: type(a).__name__)
def test_an_infinite_radius_is_refused_where_it_means_nothing(attack):
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(attack, small_net(), images(2), eps=math.inf)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        (IFGSM, {"steps": 0}),
        (IFGSM, {"step_size": 0.0}),
        (PGD, {"steps": -1}),
        (PGD, {"step_size": math.inf}),
        (PGD, {"restarts": 0}),
        (PGD, {"loss": "dlr"}),
        (PGD, {"restarts": 2, "random_start": False}),
        (CW, {"c": 0}),
        (CW, {"kappa": -1}),
        (CW, {"kappa": math.nan}),
        (CW, {"learning_rate": -0.1}),
        (CW, {"binary_search_steps": 0}),
        (CW, {"confidence": 1}),
    ],
)
def test_options_that_mean_nothing_are_refused(recipe, options):
    with pytest.raises(ConfigError):
        build(recipe, options, where="test.yaml:1")


@every
def test_a_radius_of_zero_leaves_the_images_alone(name):
    attack, _ = attack_of(name)
    x = images(4)
    x_adv, _, _ = attacked(attack, small_net(), x, norm=ATTACKS[name][1], eps=0.0)
    assert torch.equal(x_adv, x)
