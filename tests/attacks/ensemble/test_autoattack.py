"""AutoAttack: who plays, on which images, and what is kept."""

import math
from dataclasses import replace

import pytest
import torch

from attacks.ensemble.autoattack import AutoAttack
from attacks.gradient.apgd import APGD, APGDTargeted
from attacks.minimal.fab import FAB, FABTargeted
from attacks.query.square import Square
from robench.attack.norms import NORMS
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.randomness import Randomness
from robench.recipe import build
from tests.attacks.toys import EPS, LAWS, distances, two_pixels
from tests.truths import Lambda, attacked, broken, classify, images, joint, random_linear, small_net

norms = pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
slow = pytest.mark.slow
SMALL = AutoAttack(scale=0.02)


@pytest.mark.thorough
@pytest.mark.parametrize("norm", ["Linf", pytest.param("L2", marks=slow), pytest.param("L1", marks=slow)])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(law, norm):
    law(replace(SMALL, scale=0.01), norm)


def test_the_settings_are_the_published_ones():
    assert AutoAttack().parts("Linf") == {
        "apgd-ce": APGD(steps=100, restarts=1),
        "apgd-t": APGDTargeted(steps=100, classes=9),
        "fab-t": FABTargeted(steps=100, classes=9),
        "square": Square(queries=5000, rescale=False),
    }
    assert AutoAttack().parts("L1")["apgd-ce"] == APGD(steps=100, restarts=5)
    assert AutoAttack().parts("L1")["apgd-t"] == APGDTargeted(steps=100, classes=5)
    plus = AutoAttack(version="plus").parts("L2")
    assert list(plus) == ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"]
    assert plus["apgd-dlr"] == APGD(steps=100, restarts=5, loss="dlr")
    assert plus["fab"] == FAB(steps=100, restarts=5)
    assert list(AutoAttack(attacks=("square", "apgd-ce")).parts("Linf")) == ["apgd-ce", "square"]
    assert AutoAttack(scale=0.001).parts("Linf")["square"] == Square(queries=5, rescale=False)


@norms
@pytest.mark.parametrize("version", ["standard", pytest.param("plus", marks=slow)])
def test_it_breaks_what_brute_force_breaks_and_nothing_else(norm, version):
    model, x, y, truth = two_pixels(norm, 0.12)
    attack = AutoAttack(version=version, scale=0.2, attacks=tuple(
        name for name in ("apgd-ce", "apgd-t", "fab-t", "apgd-dlr") if version == "plus" or name != "apgd-dlr"
    ))  # fmt: skip
    x_adv, oracle, _ = attacked(attack, model, x, y, norm=NORMS[norm], eps=0.12, drop=True)
    breaks = broken(model, x_adv, y, x, oracle.threat)
    assert int((truth != breaks).sum()) <= 1  # the grid may miss a sliver


@pytest.mark.thorough
@norms
@pytest.mark.parametrize("drop", [True, False])
def test_it_breaks_all_that_any_part_breaks(norm, drop):
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    options = {"norm": NORMS[norm], "eps": EPS[norm], "drop": drop}
    x_adv, oracle, _ = attacked(SMALL, model, x, y, **options)
    breaks = broken(model, x_adv, y, x, oracle.threat)
    assert torch.equal(breaks, oracle.broken)
    first, _, _ = attacked(replace(SMALL, attacks=("apgd-ce",)), model, x, y, **options)
    assert not (broken(model, first, y) & ~breaks).any()


@pytest.mark.thorough
@pytest.mark.parametrize("drop", [True, False])
def test_each_part_plays_on_what_still_stands(drop):
    """An image that the first attack breaks costs what the first attack costs, dropped or not."""
    model, x = small_net(seed=1), images(40)
    y = classify(model, x)
    cascade = AutoAttack(scale=0.04, attacks=("apgd-ce", "square"))
    _, oracle, _ = attacked(cascade, model, x, y, eps=0.06, drop=drop)
    _, first, last = attacked(replace(cascade, attacks=("apgd-ce",)), model, x, y, eps=0.06, drop=drop)
    early = first.broken
    assert 5 < int(early.sum()) < 35
    assert int(oracle.ledger.forwards[early].max()) <= 4 + 1 + 2
    assert int(oracle.ledger.forwards[~early].max()) > 150
    if not drop:  # wanted for transfer: the first attack's point of highest loss stays
        proposal, _, _ = attacked(cascade, model, x, y, eps=0.06)
        sure = early & broken(model, last, y)
        assert sure.any()
        assert torch.equal(proposal[sure], last[sure])


@pytest.mark.thorough
def test_square_sees_through_a_mask_that_stops_the_gradients():
    inner, x = small_net(seed=1), images(30)
    rough_model = Model(name="masked", net=Lambda(lambda x: inner.net((x * 64).round() / 64)), classes=4)
    y = classify(rough_model, x)
    gradients_only = AutoAttack(scale=0.03, attacks=("apgd-ce", "apgd-t", "fab-t"))
    white, _, _ = attacked(gradients_only, rough_model, x, y, eps=0.1, drop=True)
    both, _, _ = attacked(replace(gradients_only, attacks=None), rough_model, x, y, eps=0.1, drop=True)
    assert int(broken(rough_model, both, y).sum()) > int(broken(rough_model, white, y).sum()) + 5


@pytest.mark.parametrize(
    "options",
    [
        {"version": "rand"},
        {"attacks": ["apgd"]},
        {"attacks": []},
        {"attacks": ["apgd-dlr"]},
        {"scale": 0},
        {"scale": math.inf},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        build(AutoAttack, options, where="test.yaml:1")


def test_options_come_from_a_configuration():
    attack = build(AutoAttack, {"version": "plus", "attacks": ["fab", "square"], "scale": "1/10"}, where="t")
    assert list(attack.parts("L2")) == ["fab", "square"]
    assert attack.parts("L2")["fab"] == FAB(steps=10, restarts=5)


def test_an_infinite_radius_is_refused():
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(AutoAttack(), small_net(), images(2), threat=ThreatModel(eps=math.inf))


@pytest.mark.thorough
def test_images_of_a_joint_batch_that_fell_in_different_batches_are_not_done():
    """One batch is proposed for all, so what counts is what one batch breaks."""
    inner = random_linear(classes=2, shape=(1, 4, 4), centred=True)
    x = images(40, (1, 4, 4), 0, 0.3, 0.7)
    far = distances(inner, x, classify(inner, x), "Linf").argsort(descending=True)
    model, x = joint(inner), x[far[:2]]
    y = classify(model, x)
    threat = ThreatModel(eps=0.4)
    streams = Randomness(0, torch.arange(2), ("test",))
    first = Oracle(model, x, y, threat)
    both = first.proposal(SMALL(first, streams))
    oracle = Oracle(model, x, y, threat)
    for one in range(2):
        apart = x.clone()
        apart[one] = both[one]
        oracle.outputs(apart)
    assert oracle.broken.all()
    assert (classify(model, oracle.proposal(x)) != y).sum() == 1
    assert (classify(model, oracle.proposal(SMALL(oracle, streams))) != y).all()
