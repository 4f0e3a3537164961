"""Every strong attack of ours on two and three classes, and on log-probabilities and simplex points."""

import math

import pytest
import torch

from attacks.ensemble.autoattack import AutoAttack
from attacks.ensemble.economical_autoattack import EconomicalAutoAttack
from attacks.gradient.apgd import APGD, APGDTargeted
from attacks.gradient.difgsm import DIFGSM
from attacks.gradient.mifgsm import MIFGSM
from attacks.gradient.tifgsm import TIFGSM
from attacks.gradient.universal import Universal
from attacks.minimal.ddn import DDN
from attacks.minimal.deepfool import DeepFool
from attacks.minimal.fab import FAB, FABTargeted
from attacks.minimal.fmn import FMN
from attacks.query.hopskipjump import HopSkipJump
from attacks.query.noise import Noise
from attacks.query.spsa import SPSA
from attacks.query.square import Square
from robench.attack.norms import NORMS
from robench.model.interface import OutputKind
from tests.attacks.toys import distances
from tests.truths import attacked, broken, classify, images, random_linear, small_net, with_head

# name -> (recipe, norm, least share of the images inside their balls that it breaks of a linear model). The
# cross-entropy leads past a near class towards a likely one, and FAB overshoots a little in its first steps.
STRONG = {
    "apgd": (APGD(steps=30), "Linf", 0.6),
    "apgd-dlr": (APGD(steps=30, loss="dlr"), "Linf", 0.6),
    "apgd-l1": (APGD(steps=30), "L1", 0.6),
    "apgd-t": (APGDTargeted(steps=20), "L2", 0.9),
    "fab": (FAB(steps=15), "L2", 0.9),
    "fab-t": (FABTargeted(steps=15), "Linf", 0.9),
    "square": (Square(queries=150), "Linf", 0.8),
    "autoattack": (AutoAttack(scale=0.05), "L2", 0.9),
    "autoattack-plus": (AutoAttack(version="plus", scale=0.05), "Linf", 0.9),
    "economical": (EconomicalAutoAttack(rounds=1, least_queries=20, queries=100), "Linf", 1.0),
    "deepfool": (DeepFool(), "L2", 0.9),
    "ddn": (DDN(steps=60), "L2", 0.6),
    "fmn": (FMN(steps=60), "Linf", 0.9),
    "spsa": (SPSA(steps=15, samples=8), "Linf", 0.8),
    "hopskipjump": (HopSkipJump(steps=4, samples=20), "L2", 0.5),
    "noise": (Noise(points=40), "Linf", 0.05),
    "universal": (Universal(sweeps=2), "L2", 0.3),
    "mifgsm": (MIFGSM(), "Linf", 0.6),
    "difgsm": (DIFGSM(), "Linf", 0.6),
    "tifgsm": (TIFGSM(kernel_size=1, probability=0.0), "Linf", 0.6),
}
every = pytest.mark.parametrize("name", STRONG)
few = pytest.mark.parametrize("classes", [2, 3])


@pytest.mark.thorough
@every
@few
def test_few_classes_break_where_geometry_says(name, classes):
    """None but the images inside their balls, and of these no fewer than the kind of attack promises."""
    attack, norm, least = STRONG[name]
    model = random_linear(classes=classes, shape=(1, 4, 4), seed=3, centred=True)
    x = images(24, (1, 4, 4), 0, 0.45, 0.55)
    y = classify(model, x)
    distance = distances(model, x, y, norm)
    eps = float(distance.median()) * 1.05
    x_adv, oracle, _ = attacked(attack, model, x, y, norm=NORMS[norm], eps=eps)
    breaks = broken(model, x_adv, y, x, oracle.threat)
    inside = distance < eps
    assert not breaks[distance > eps * (1 + 1e-4)].any()
    assert int(breaks.sum()) >= math.floor(least * int(inside.sum()))
    assert int(breaks.sum()) >= 1
    assert torch.isfinite(x_adv).all()


HEADS = {
    "log_probabilities": (lambda z: z.log_softmax(1), OutputKind.LOG_PROBABILITIES),
    "simplex": (lambda z: z.softmax(1), OutputKind.SIMPLEX),
}


@pytest.mark.thorough
@every
@few
@pytest.mark.parametrize("head", HEADS)
def test_the_kind_of_output_changes_no_verdict(name, classes, head):
    """A softmax behind the logits moves no boundary; only rounding may decide a close call otherwise."""
    attack, norm, _ = STRONG[name]
    model, x = small_net(shape=(1, 4, 4), classes=classes, seed=2), images(24, (1, 4, 4))
    y = classify(model, x)
    options = {"norm": NORMS[norm], "eps": {"Linf": 0.1, "L2": 0.3, "L1": 0.8}[norm]}
    bare, before, _ = attacked(attack, model, x, y, **options)
    twin = with_head(model, *HEADS[head])
    proposal, after, _ = attacked(attack, twin, x, y, **options)
    one = broken(model, bare, y, x, before.threat)
    two = broken(twin, proposal, y, x, after.threat)
    assert int(one.sum()) >= 1
    assert int((one != two).sum()) <= 1
