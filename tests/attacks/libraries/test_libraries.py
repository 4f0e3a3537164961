"""Attacks of ART and torchattacks behind our contract, and where they must agree with ours."""

import importlib.util
import math
import random

import numpy as np
import pytest
import torch

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD
from attacks.libraries.art import ArtCW, ArtEvasion, ArtFGSM, ArtIFGSM, ArtPGD
from attacks.libraries.torchattacks import (
    TorchattacksCW,
    TorchattacksFGSM,
    TorchattacksIFGSM,
    TorchattacksPGD,
)
from attacks.minimal.cw import CW
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError, PluginError
from robench.model.interface import OutputKind
from robench.randomness import Randomness
from tests.truths import attacked, broken, classify, images, joint, small_net, two_sources, with_head

EPS = {"Linf": 0.06, "L2": 0.2}
SETTINGS = {"steps": 6, "step_size": 0.02}
STILL = {**SETTINGS, "random_start": False}
HEADS = {
    "logits": (lambda z: z, OutputKind.LOGITS),
    "log_probabilities": (lambda z: z.log_softmax(1), OutputKind.LOG_PROBABILITIES),
    "simplex": (lambda z: z.softmax(1), OutputKind.SIMPLEX),
}
PAIRS = [
    (ArtFGSM(), FGSM(), LINF),
    (ArtFGSM(), FGSM(), L2),
    (TorchattacksFGSM(), FGSM(), LINF),
    (ArtIFGSM(**SETTINGS), IFGSM(**SETTINGS), LINF),
    (TorchattacksIFGSM(**SETTINGS), IFGSM(**SETTINGS), LINF),
    (ArtPGD(**STILL), PGD(**STILL), LINF),
    (ArtPGD(**STILL), PGD(**STILL), L2),
    (TorchattacksPGD(**STILL), PGD(**STILL), LINF),
    (TorchattacksPGD(**STILL), PGD(**STILL), L2),
]
QUICK = [
    (ArtFGSM(), LINF),
    (ArtIFGSM(**SETTINGS), LINF),
    (ArtPGD(steps=4), LINF),
    (ArtPGD(steps=4), L2),
    (ArtCW(steps=4), L2),
    (ArtEvasion(attack="DeepFool", options={"max_iter": 5}), L2),
    (TorchattacksFGSM(), LINF),
    (TorchattacksIFGSM(**SETTINGS), LINF),
    (TorchattacksPGD(steps=4), LINF),
    (TorchattacksPGD(steps=4), L2),
    (TorchattacksCW(steps=4), L2),
]


def label(value):
    name = getattr(value, "attack", "")
    return value.name if hasattr(value, "ascent") else f"{type(value).__name__}{name}"


@pytest.mark.parametrize(("theirs", "ours", "norm"), PAIRS, ids=label)
@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("head", HEADS)
def test_deterministic_attacks_agree_pixel_by_pixel(theirs, ours, norm, goal, head):
    model, x = with_head(small_net(seed=1), *HEADS[head]), images(24)
    y = classify(model, x)
    threat = ThreatModel(norm=norm, eps=EPS[norm.name], goal=goal)
    labels = (y + 1) % 4 if goal is Goal.TARGETED else y
    _, _, own = attacked(ours, model, x, labels, threat=threat)
    _, _, library = attacked(theirs, model, x, labels, threat=threat)
    assert ((own - library).abs() < 1e-5).float().mean() > 0.98
    assert torch.equal(classify(model, own), classify(model, library))
    assert threat.admits(x, library).all()
    assert not torch.equal(own, x)


@pytest.mark.parametrize("theirs", [ArtPGD(steps=10), TorchattacksPGD(steps=10)], ids=label)
@pytest.mark.parametrize("norm", [LINF, L2], ids=label)
def test_random_starts_agree_on_nearly_every_verdict(theirs, norm):
    model, x = small_net(seed=1), images(60)
    y = classify(model, x)
    own, _, _ = attacked(PGD(steps=10), model, x, y, norm=norm, eps=EPS[norm.name])
    library, _, _ = attacked(theirs, model, x, y, norm=norm, eps=EPS[norm.name])
    assert int((broken(model, own, y) != broken(model, library, y)).sum()) <= 3
    more = type(theirs)(steps=10, restarts=3)
    best, _, _ = attacked(more, model, x, y, norm=norm, eps=EPS[norm.name])
    assert int(broken(model, best, y).sum()) >= int(broken(model, library, y).sum()) - 1


@pytest.mark.thorough
@pytest.mark.parametrize("head", [*HEADS, "minus 20"])
@pytest.mark.parametrize("theirs", [ArtCW(steps=30), TorchattacksCW(steps=60, learning_rate=0.01)], ids=label)
def test_cw_of_libraries_never_beats_ours_by_much(theirs, head):
    """On grey images, for at 0 and 1 the libraries' pixels stand still; equality cannot be asked for."""
    function = HEADS.get(head, (lambda z: z - 20, OutputKind.LOGITS))
    model, x = with_head(small_net(seed=1), *function), images(20, low=0.2, high=0.8)
    y = classify(model, x)
    threat = ThreatModel(norm=L2, eps=math.inf)
    own, _, _ = attacked(CW(steps=100, learning_rate=0.01), model, x, y, threat=threat)
    library, _, _ = attacked(theirs, model, x, y, threat=threat)
    assert broken(model, own, y).all()
    breaks = broken(model, library, y)
    assert breaks.float().mean() > 0.3  # the library's attack does run on this head
    assert float((L2.size(own - x) / L2.size(library - x))[breaks].median()) < 1.1


@pytest.mark.parametrize(
    ("name", "options", "norm"),
    [
        ("DeepFool", {"max_iter": 10}, L2),
        ("AutoProjectedGradientDescent", {"max_iter": 8, "nb_random_init": 1}, LINF),
        ("AutoProjectedGradientDescent", {"max_iter": 8, "nb_random_init": 1}, L2),
        ("SquareAttack", {"max_iter": 40}, LINF),
        ("HopSkipJump", {"max_iter": 2, "max_eval": 60, "init_eval": 10}, L2),
        ("BoundaryAttack", {"max_iter": 15, "num_trial": 5, "sample_size": 5}, L2),
    ],
)
@pytest.mark.parametrize("head", ["logits", "simplex"])
def test_any_evasion_attack_of_art_runs(name, options, norm, head):
    model, x = with_head(small_net(seed=1), *HEADS[head]), images(4)
    y = classify(model, x)
    minimal = name in ("DeepFool", "HopSkipJump", "BoundaryAttack")
    threat = ThreatModel(norm=norm, eps=math.inf if minimal else EPS[norm.name])
    x_adv, oracle, _ = attacked(ArtEvasion(attack=name, options=options), model, x, y, threat=threat)
    assert x_adv.dtype == x.dtype
    assert threat.admits(x, x_adv).all()
    assert (oracle.ledger.forwards > 0).all()
    assert broken(model, x_adv, y).any()


def test_art_s_own_names_are_checked():
    for attack, message in (
        (ArtEvasion(attack="DeepFol"), "DeepFool"),
        (ArtEvasion(attack="DeepFool", options={"max_itr": 3}), "max_iter"),
        (ArtEvasion(attack="DeepFool", options={"max_iter": -3}), "ART accepts"),
        (ArtEvasion(attack="ZooAttack", options={"nb_parallel": 0}), "ART accepts"),
    ):
        with pytest.raises(ConfigError, match=message):
            attacked(attack, small_net(), images(2), norm=L2, eps=1.0)
    with pytest.raises(ConfigError, match="threat"):
        ArtEvasion(attack="SquareAttack", options={"eps": 0.3})
    threat = ThreatModel(norm=L2, eps=1.0, goal=Goal.TARGETED)
    with pytest.raises(ConfigError, match="untargeted"):
        attacked(ArtEvasion(attack="DeepFool"), small_net(), images(2), threat=threat)


@pytest.mark.parametrize(("attack", "norm"), QUICK, ids=label)
def test_everything_is_put_back_and_booked(attack, norm, capfd):
    model, x = small_net(seed=1), images(6)
    y = classify(model, x)
    model.net[3].weight.grad = torch.ones_like(model.net[3].weight)
    model.net.train()
    before, clean = model.fingerprint(), x.clone()
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    threat = ThreatModel(norm=norm, eps=0.3)
    oracle = Oracle(model, x, y, threat)
    proposal = attack(oracle, Randomness(0, torch.arange(6)))
    again = attack(Oracle(model, x, y, threat), Randomness(0, torch.arange(6)))
    assert torch.equal(proposal, again)
    assert threat.admits(x, proposal).all()
    assert (oracle.ledger.forwards >= 1).all()
    assert (oracle.ledger.backwards >= 1).all()
    assert model.fingerprint() == before
    assert all(m.training for m in model.net.modules())
    assert torch.equal(model.net[3].weight.grad, torch.ones_like(model.net[3].weight))
    assert model.net[1].weight.grad is None
    assert all(p.requires_grad for p in model.net.parameters())
    assert torch.equal(x, clean)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("attack", [ArtPGD(steps=2), TorchattacksPGD(steps=2)], ids=label)
def test_an_error_inside_a_library_restores_everything(attack):
    model, x = small_net(), images(6)
    y, state = classify(model, x), torch.random.get_rng_state()
    oracle = Oracle(model, x, y, ThreatModel(eps=0.1))

    def fail(*_):
        raise RuntimeError("inside")

    model.net.train()
    hook = model.net[1].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="inside"):
        attack(oracle, Randomness(0, torch.arange(6)))
    hook.remove()
    assert all(m.training for m in model.net.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_costs_of_libraries_are_what_they_are():
    model, x = small_net(), images(6)
    for attack, forwards, backwards in (
        (TorchattacksPGD(steps=5), 5, 5),
        (TorchattacksCW(steps=5), 5, 5),
        (TorchattacksPGD(steps=5, restarts=2), 12, 10),
    ):
        norm = L2 if isinstance(attack, TorchattacksCW) else LINF
        oracle = Oracle(model, x, classify(model, x), ThreatModel(norm=norm, eps=1e-4))
        attack(oracle, Randomness(0, torch.arange(6)))
        assert oracle.ledger.forwards.tolist() == [forwards] * 6
        assert oracle.ledger.backwards.tolist() == [backwards] * 6


@pytest.mark.parametrize("attack", [ArtIFGSM(**SETTINGS), TorchattacksIFGSM(**SETTINGS)], ids=label)
def test_the_chosen_gradient_source_is_attacked(attack):
    model, x = two_sources(small_net(seed=1)), images(20)
    y = classify(model, x)
    exact, _, _ = attacked(attack, model, x, y, eps=0.1)
    proposal, _, _ = attacked(attack, model, x, y, eps=0.1, source=model.source("turned"))
    assert int(broken(model, exact, y).sum()) > 5
    assert int(broken(model, proposal, y).sum()) == 0


@pytest.mark.parametrize("attack", [ArtPGD(steps=3), TorchattacksPGD(steps=3)], ids=label)
def test_joint_batches_reach_libraries_whole(attack):
    model, x = joint(small_net(seed=1)), images(9)
    y = classify(model, x)
    model.net.sizes.clear()
    attacked(attack, model, x, y, eps=0.06, batch_size=4)
    assert set(model.net.sizes) == {9}
    with pytest.raises(ConfigError, match="joint batch of 9"):
        attacked(ArtEvasion(attack="SquareAttack", options={"max_iter": 5}), model, x, y, eps=0.06)


@pytest.mark.parametrize("attack", [a for a, n in QUICK if n is LINF], ids=label)
def test_radii_and_budgets_libraries_cannot_have(attack):
    model, x = small_net(), images(3)
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(attack, model, x, eps=math.inf)
    with pytest.raises(ConfigError, match="budget"):
        attacked(attack, model, x, threat=ThreatModel(eps=0.1, budget=100))
    same, _, _ = attacked(attack, model, x, eps=0.0)
    assert torch.equal(same, x)


def test_two_classes():
    model, x = small_net(seed=3, classes=2), images(10)
    y = classify(model, x)
    for attack, norm in QUICK:
        own, _, _ = attacked(attack, model, x, y, norm=norm, eps=0.3)
        assert own.shape == x.shape


def test_torchattacks_needs_the_unit_box():
    threat = ThreatModel(eps=0.1, bounds=(-1.0, 1.0))
    with pytest.raises(ConfigError, match="bounds"):
        attacked(TorchattacksFGSM(), small_net(), images(2), threat=threat)


def test_a_missing_torchattacks_says_how_to_get_it(monkeypatch):
    find = importlib.util.find_spec
    import attacks.libraries.rows as module

    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "torchattacks" else find(name))
    for recipe in (TorchattacksFGSM, TorchattacksIFGSM, TorchattacksPGD, TorchattacksCW):
        with pytest.raises(PluginError, match=r"--no-deps torchattacks==3\.5\.1"):
            recipe()
