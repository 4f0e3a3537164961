"""foolbox behind our contract: agreement with ours where it is installed, a clear word where it is not."""

import importlib.util
import math

import pytest
import torch

from attacks.gradient.fgsm import FGSM
from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD
from attacks.libraries.foolbox import FoolboxCW, FoolboxFGSM, FoolboxIFGSM, FoolboxPGD
from attacks.minimal.cw import CW
from robench.attack.norms import L2, LINF
from robench.attack.threat import Goal, ThreatModel
from robench.errors import PluginError
from tests.truths import attacked, broken, classify, images, small_net

EPS = {"Linf": 0.06, "L2": 0.2}
SETTINGS = {"steps": 6, "step_size": 0.02}
STILL = {**SETTINGS, "random_start": False}
installed = pytest.mark.skipif(importlib.util.find_spec("foolbox") is None, reason="foolbox is not installed")
# foolbox imports SciPy by a name that SciPy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")


@installed
@pytest.mark.parametrize(
    ("theirs", "ours", "norm"),
    [
        (FoolboxFGSM, FGSM(), LINF),
        (FoolboxFGSM, FGSM(), L2),
        (lambda: FoolboxIFGSM(**SETTINGS), IFGSM(**SETTINGS), LINF),
        (lambda: FoolboxPGD(**STILL), PGD(**STILL), LINF),
        (lambda: FoolboxPGD(**STILL), PGD(**STILL), L2),
    ],
)
def test_deterministic_attacks_agree_pixel_by_pixel(theirs, ours, norm):
    model, x = small_net(seed=1), images(24)
    y = classify(model, x)
    threat = ThreatModel(norm=norm, eps=EPS[norm.name])
    _, _, own = attacked(ours, model, x, y, threat=threat)
    _, _, library = attacked(theirs(), model, x, y, threat=threat)
    assert ((own - library).abs() < 1e-5).float().mean() > 0.98
    assert torch.equal(classify(model, own), classify(model, library))
    assert threat.admits(x, library).all()


@installed
def test_targeted_pgd_reaches_its_target():
    model, x = small_net(seed=1), images(24)
    target = (classify(model, x) + 1) % 4
    threat = ThreatModel(norm=LINF, eps=0.3, goal=Goal.TARGETED)
    _, _, library = attacked(FoolboxPGD(steps=20), model, x, target, threat=threat)
    assert (classify(model, library) == target).float().mean() > 0.5


@installed
def test_cw_never_beats_ours_by_much():
    model, x = small_net(seed=1), images(20, low=0.2, high=0.8)
    y = classify(model, x)
    threat = ThreatModel(norm=L2, eps=math.inf)
    own, _, _ = attacked(CW(steps=100, learning_rate=0.01), model, x, y, threat=threat)
    library, _, _ = attacked(FoolboxCW(steps=60, learning_rate=0.01), model, x, y, threat=threat)
    breaks = broken(model, library, y)
    assert breaks.float().mean() > 0.3
    assert float((L2.size(own - x) / L2.size(library - x))[breaks].median()) < 1.1


@pytest.mark.parametrize("attack", [FoolboxFGSM, FoolboxIFGSM, FoolboxPGD, FoolboxCW])
def test_a_missing_foolbox_says_how_to_get_it(monkeypatch, attack):
    import attacks.libraries.rows as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match="pip install foolbox"):
        attack()
