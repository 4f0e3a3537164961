"""Whatever way a network is written, its verdicts are those of plain loops, and it comes back as it was."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from attacks.gradient.fgsm import FGSM
from robench.api import benchmark, make_attack, wrap
from robench.attack.craft import craft
from robench.attack.losses import cross_entropy
from robench.attack.protocol import AttackInfo
from robench.attack.threat import ThreatModel
from robench.model.evaluation import evaluation_mode
from robench.model.prepared import PreparedModel
from robench.model.proof import GRADIENT_TOLERANCE, ROUGH_OUTPUT_TOLERANCE, relative_error
from robench.model.rough_gradient import is_sure
from robench.randomness import borrowed_global_randomness
from tests.robench.model.untouched import answers, differences, taken_down
from tests.robench.random_networks import BLOCKS, ENTRANCES, EXTRAS, HEADS, STATES, drawn
from tests.robench.trials import EUCLIDEAN, LIBRARIES, OTHERS, PLAIN, QUICK, SEED, Tally, Trial

FIRST, FAST, SLOW, CHUNK = 10, 60, 560, 10
"""Networks of the fast tests, with those marked `thorough`, with those marked `slow`, and of one test."""


def chunks(first, last):
    seeds = [range(start, start + CHUNK) for start in range(first, last, CHUNK)]
    thorough = [pytest.mark.thorough] if first == 0 else []
    parameters = [pytest.param(some, marks=thorough if some.start >= FIRST else ()) for some in seeds]
    return pytest.mark.parametrize("seeds", parameters, ids=str)


@pytest.mark.thorough
@chunks(0, FAST)
def test_verdicts_are_those_of_plain_loops(seeds):
    tally = Tally()
    for seed in seeds:
        trial = Trial.of(seed)
        labels = [QUICK[seed % len(QUICK)], QUICK[(7 * seed + 3) % len(QUICK)]]
        trial.compare(PLAIN | {label: OTHERS[label] for label in labels if label in OTHERS}, tally)
        if euclidean := {label: EUCLIDEAN[label] for label in labels if label in EUCLIDEAN}:
            trial.compare(euclidean, tally, norm="L2")
    tally.confirm()


@pytest.mark.thorough
def test_a_flag_may_be_turned_between_two_evaluations():
    tally, first = Tally(), list(BLOCKS).index("norm_by_a_flag")
    for seed in range(first, first + 6 * len(BLOCKS), len(BLOCKS)):
        trial = Trial.of(seed)
        trial.compare(PLAIN, tally)
        for part in (*trial.net.modules(), *trial.untouched.modules()):
            if "flag" in vars(part):
                part.flag = not part.flag
        trial.compare(PLAIN, tally)
    tally.confirm()


@pytest.mark.slow
@chunks(FAST, SLOW)
def test_verdicts_of_every_attack_are_those_of_plain_loops(seeds):
    tally = Tally()
    for seed in seeds:
        trial = Trial.of(seed)
        trial.compare(PLAIN | OTHERS | LIBRARIES, tally)
        trial.compare(EUCLIDEAN, tally, norm="L2")
    tally.confirm()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """An attack that asks all an attack can ask, and then fails."""

    info: ClassVar[AttackInfo] = dataclasses.replace(FGSM.info, title="Failing")

    def __call__(self, oracle, x, y, *, threat, rng):
        oracle.gradient(cross_entropy, x)
        oracle.outputs(x)
        oracle.score_gradients(x)
        raise ArithmeticError("half way")


def changes(seed, engine="auto"):
    """What is no longer as it was after an evaluation, and after one in which the attack fails."""
    trial = Trial.of(seed)
    net, (x, y), classes = trial.net, trial.data.batch(slice(None)), len(trial.data.classes)
    outputs, before, clean, images = answers(net, x), taken_down(net), x.clone(), trial.data.images.clone()
    model, options = (
        wrap(net, name="net", classes=classes),
        {"eps": trial.eps, "seed": SEED, "engine": engine},
    )
    faults = []
    for attacks in (
        {"pgd": make_attack("pgd", steps=2), "square": make_attack("square", queries=3)},
        {"f": Failing()},
    ):
        outcome = benchmark([model], trial.data, attacks=attacks, **options)
        failures = [text for text in outcome.failures if "half way" not in text]
        faults += [*failures, *differences(before, taken_down(net))]
    try:
        craft(model, Failing(), x, y, threat=ThreatModel(eps=0.1), indices=torch.arange(len(x)))
    except Exception as error:  # noqa: BLE001 - another failure is one more thing to tell
        if "half way" not in str(error):
            faults.append(str(error))
    else:
        faults.append("the attack did not fail")
    faults += differences(before, taken_down(net))
    if not (torch.equal(trial.data.images, images) and torch.equal(x, clean)):
        faults.append("the images")
    if answers(net, x) != outputs:
        faults.append("answers")
    return [f"seed {seed} {trial.kinds}: {what}" for what in dict.fromkeys(faults)]


@pytest.mark.thorough
def test_a_seed_gives_the_same_network_and_few_seeds_give_all_kinds():
    for seed in range(3):
        one, other = drawn(seed), drawn(seed)
        assert one.net is not other.net
        assert one.kinds == other.kinds
        first, second = one.net.state_dict(), other.net.state_dict()
        assert list(first) == list(second)
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert {name for seed in range(FAST) for name in drawn(seed).kinds} == {
        *BLOCKS, *ENTRANCES, *HEADS, *STATES, *EXTRAS,
    }  # fmt: skip


@pytest.mark.thorough
def test_another_network_has_other_verdicts_and_rounding_does_not_excuse_them():
    tally = Tally()
    for seed in range(5):
        trial = Trial.of(seed)
        with torch.no_grad():
            trial.net.stem[0].weight.mul_(0.5)
        trial.compare(PLAIN, tally)
    assert len(tally.wrong) > 10
    with pytest.raises(AssertionError):
        tally.confirm()


def test_a_network_that_was_touched_is_noticed():
    net = drawn(0).net
    before = taken_down(net)
    assert differences(before, taken_down(net)) == []
    touches = [
        lambda: net.stem[0].weight.data.view(torch.int32)[0].add_(1),  # the last bit
        lambda: setattr(net.stem[0], "weight", torch.nn.Parameter(net.stem[0].weight.detach().clone())),
        lambda: net.stem[0].weight.requires_grad_(False),
        lambda: setattr(net.stem[0].weight, "grad", torch.zeros_like(net.stem[0].weight)),
        lambda: net.pieces.train(not net.pieces.training),
        lambda: net.last.register_forward_hook(lambda *arguments: None),
        lambda: setattr(net.last, "forward", net.last.forward),
        lambda: net.to(memory_format=torch.channels_last),
        lambda: net.mean.add_(1),
    ]
    for touch in touches:
        net = drawn(1).net
        before = taken_down(net)
        touch()
        assert differences(before, taken_down(net))


@pytest.mark.thorough
@chunks(0, FAST)
def test_the_network_comes_back_as_it_was(seeds):
    faults = [what for seed in seeds for what in changes(seed)]
    assert not faults, "\n".join(faults)


@pytest.mark.thorough
@chunks(0, FIRST)
def test_the_network_comes_back_where_gradients_are_in_bfloat16(seeds):
    faults = [what for seed in seeds for what in changes(seed, "bfloat16")]
    assert not faults, "\n".join(faults)


@pytest.mark.thorough
@chunks(0, FAST)
def test_verdicts_are_the_networks_where_clear_answers_are_in_bfloat16(seeds):
    count = 0
    for seed in seeds:
        trial = Trial.of(seed)
        x, _ = trial.data.batch(slice(None))
        model = wrap(trial.net, name="net", classes=len(trial.data.classes))
        copies = PreparedModel(model, engine="bfloat16")
        name = copies.choose(x, [model.source("exact")])
        if "bfloat16" in name:
            count += 1
            with copies.using(name), borrowed_global_randomness(0):
                outputs = model.net(x.clone().requires_grad_(True)).detach()
            with torch.no_grad(), evaluation_mode(model.net), borrowed_global_randomness(0):
                own = model.net(x)
            apart, scale = (outputs - own).abs().amax(dim=1), float(own.abs().max())
            assert torch.equal(outputs.argmax(dim=1), own.argmax(dim=1)), (seed, trial.kinds)
            assert float(apart.max()) <= ROUGH_OUTPUT_TOLERANCE * scale, (seed, trial.kinds)
            assert bool(is_sure(outputs[apart > 1e-4 * scale]).all()), (seed, trial.kinds)
    assert count or seeds.start >= FIRST  # few networks bear it


def _pass(model, x):
    leaf = x.clone().requires_grad_(True)
    with borrowed_global_randomness(0):
        outputs = model.net(leaf)
    loss = (outputs * torch.linspace(-1.0, 1.0, outputs.shape[1])).sum()
    return outputs.detach(), torch.autograd.grad(loss, leaf)[0]


@pytest.mark.thorough
@chunks(0, FIRST)
def test_the_network_comes_back_where_graphs_are_replayed(seeds, card):
    faults = [what for seed in seeds for what in changes(seed, "graphs")]
    assert not faults, "\n".join(faults)
    assert card.replays


@pytest.mark.thorough
@chunks(0, FAST)
def test_replayed_graphs_are_the_network_whatever_the_number_of_images(seeds, card):
    count = 0
    for seed in seeds:
        trial = Trial.of(seed)
        x, _ = trial.data.batch(slice(None))
        model = wrap(trial.net, name="net", classes=len(trial.data.classes))
        copies = PreparedModel(model, engine="graphs")
        name = copies.choose(x, [model.source("exact")])
        if "graphs" in name:
            count += 1
            for rows in range(2, len(x)):
                with copies.using(name):
                    outputs, slopes = _pass(model, x[:rows])
                with evaluation_mode(model.net):
                    own, gradients = _pass(model, x[:rows])
                scale = float(own[own.isfinite()].abs().max())
                assert torch.allclose(outputs, own, atol=1e-4 * scale, rtol=0), (seed, trial.kinds)
                error = relative_error(gradients.flatten(1), slopes.flatten(1))
                assert float(error.median()) < GRADIENT_TOLERANCE, (seed, trial.kinds)
    assert count


@pytest.mark.slow
@chunks(FAST, SLOW)
def test_many_a_network_comes_back_as_it_was(seeds):
    faults = [what for seed in seeds for what in changes(seed)]
    assert not faults, "\n".join(faults)
