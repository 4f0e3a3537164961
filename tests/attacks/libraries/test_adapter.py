"""A row of a table becomes an attack: options, docstring, restarts and what the library is told."""

import dataclasses
import math
import pickle
import sys
from types import SimpleNamespace

import pytest
import torch

from attacks.gradient.pgd import PGD
from attacks.libraries import art, foolbox, rows, torchattacks
from attacks.libraries.adapter import attack_classes, in_parts, step_of
from attacks.libraries.rows import PGD_OPTIONS, Library, Row
from robench.attack.norms import L2, LINF
from robench.attack.oracle import Oracle
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError
from robench.recipe import describe
from tests.truths import attacked, classify, images, joint, small_net

TOLD = []


def corner(oracle, rng, row, arguments, eps):
    """A library that jumps to a random corner of the ball; the first try gets nowhere."""
    TOLD.append((row.theirs[oracle.threat.norm.name], arguments, eps))
    if len(TOLD) == 1:
        return oracle.x.clone()
    return oracle.threat.project(oracle.x, oracle.x + eps * rng.normal(oracle.x).sign())


ROW = Row(
    name="ToyPGD",
    title="PGD (toy)",
    ours=PGD,
    theirs={"Linf": "Corner", "L2": "Point"},
    label="the toy's PGD",
    text="A toy.",
    options=PGD_OPTIONS,
    arguments=lambda attack, eps: {"size": step_of(attack, eps), "many": attack.steps},
    randomised=True,
)
LIBRARY = Library(module=__name__, distribution="toy", bibtex="@misc{toy, title={Toy}}", run=corner)
CLASSES = attack_classes(LIBRARY, [ROW, dataclasses.replace(ROW, name="ToyStill", still_at_zero=True)])
ToyPGD, ToyStill = CLASSES["ToyPGD"], CLASSES["ToyStill"]


@pytest.fixture(autouse=True)
def nothing_told():
    TOLD.clear()


def test_a_row_becomes_a_frozen_recipe():
    attack = ToyPGD(steps=4)
    assert (type(attack).__module__, type(attack).__qualname__) == (__name__, "ToyPGD")
    assert pickle.loads(pickle.dumps(attack)) == attack
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.steps = 5
    own = {"loss", "long_steps"}
    assert describe(type(attack)) == {n: o for n, o in describe(PGD).items() if n not in own}
    assert type(attack).__doc__.startswith("A toy.\n\nAttributes:\n    steps: number of steps of each try.\n")
    info = attack.info
    assert (info.title, info.paper, info.norms, info.library) == (
        "PGD (toy)",
        PGD.info.paper,
        ("Linf", "L2"),
        "toy",
    )
    assert info.bibtex == PGD.info.bibtex + "\n@misc{toy, title={Toy}}"
    assert (info.randomised, info.minimises, info.couples_images) == (True, False, False)


@pytest.mark.parametrize("library", [art, foolbox, torchattacks])
def test_an_attack_of_ours_by_a_library_has_our_defaults(library):
    own = [(row.ours(), option) for row in library.ROWS if row.ours for option in row.options]
    pairs = [(ours, option) for ours, option in own if hasattr(ours, option.name)]
    assert {option.name for _, option in pairs} >= {"steps", "step_size", "restarts", "c", "learning_rate"}
    assert [option.default for _, option in pairs] == [getattr(ours, option.name) for ours, option in pairs]


def test_it_refuses_what_our_own_attack_refuses():
    for options, name in (({"steps": 0}, "steps"), ({"restarts": 2, "random_start": False}, "restarts")):
        with pytest.raises(ConfigError, match=name):
            ToyPGD(**options)


def test_the_library_is_told_its_own_names_and_the_strongest_try_is_kept():
    model, x = small_net(seed=1), images(12)
    y = classify(model, x)
    _, _, last = attacked(ToyPGD(steps=4, restarts=3), model, x, y, eps=0.2)
    assert TOLD == [("Corner", {"size": 2.5 * 0.2 / 4, "many": 4}, 0.2)] * 3
    assert (last != x).flatten(1).any(dim=1).sum() > 6  # better than the first try, where it pays
    _, single, _ = attacked(ToyPGD(step_size=0.3), model, x, y, norm=L2, eps=0.2)
    assert TOLD[-1] == ("Point", {"size": 0.3, "many": 40}, 0.2)
    assert (single.ledger.forwards <= 1).all()  # nothing to compare


def test_radii_it_cannot_have():
    model, x = small_net(), images(3)
    with pytest.raises(ConfigError, match="the toy's PGD"):
        attacked(ToyPGD(), model, x, eps=math.inf)
    last = attacked(ToyStill(restarts=2), model, x, eps=0.0)[2]
    assert torch.equal(last, x)
    assert TOLD == []


def test_parts_are_no_larger_than_a_pass_and_a_joint_batch_is_whole():
    model, x = small_net(), images(7)
    for subject, sizes in ((model, [3, 3, 1]), (joint(model), [7])):
        oracle = Oracle(subject, x, classify(subject, x), ThreatModel(eps=0.1), batch_size=3)
        larger = in_parts(oracle, lambda part, y: part + len(y))
        assert torch.allclose(larger - x, torch.cat([torch.full_like(x[:n], n) for n in sizes]))


class StandIn:
    """What of foolbox is asked for, noting what it is told; its attacks add a tenth to every pixel."""

    def __init__(self):
        self.calls = []
        names = ("FGSM", "FGM", "LinfBasicIterativeAttack", "LinfPGD", "L2PGD", "L2CarliniWagnerAttack")
        self.attacks = SimpleNamespace(**{name: self.maker(name) for name in names})
        self.Misclassification = lambda y: ("untargeted", y.tolist())
        self.TargetedMisclassification = lambda y: ("targeted", y.tolist())

    def maker(self, name):
        def make(**arguments):
            def run(model, x, criterion, **radius):
                model(x)
                self.calls.append((name, arguments, criterion, radius))
                return (x + 0.1).clamp(0, 1)

            return SimpleNamespace(run=run)

        return make

    def PyTorchModel(self, module, *, bounds, device):  # noqa: N802
        assert (bounds, module.training, device.type) == ((0.0, 1.0), False, "cpu")
        return module


@pytest.mark.parametrize(
    ("name", "options", "norm", "call"),
    [
        ("FoolboxFGSM", {}, LINF, ("FGSM", {"random_start": False})),
        ("FoolboxFGSM", {}, L2, ("FGM", {"random_start": False})),
        (
            "FoolboxIFGSM",
            {"steps": 3},
            LINF,
            ("LinfBasicIterativeAttack", {"abs_stepsize": 0.01, "steps": 3, "random_start": False}),
        ),
        (
            "FoolboxPGD",
            {"steps": 5},
            LINF,
            ("LinfPGD", {"abs_stepsize": 0.1, "steps": 5, "random_start": True}),
        ),
        (
            "FoolboxPGD",
            {"steps": 5, "step_size": 0.3, "random_start": False},
            L2,
            ("L2PGD", {"abs_stepsize": 0.3, "steps": 5, "random_start": False}),
        ),
        (
            "FoolboxCW",
            {"steps": 5, "kappa": 0.5},
            L2,
            (
                "L2CarliniWagnerAttack",
                {
                    "binary_search_steps": 1,
                    "steps": 5,
                    "stepsize": 0.006,
                    "confidence": 0.5,
                    "initial_const": 10.0,
                    "abort_early": False,
                },
            ),
        ),
    ],
)
@pytest.mark.parametrize("goal", Goal)
def test_foolbox_is_told_its_own_names(monkeypatch, name, options, norm, call, goal):
    library = StandIn()
    monkeypatch.setitem(sys.modules, "foolbox", library)
    monkeypatch.setattr(rows, "find_spec", lambda name: name)
    attack, model, x = getattr(foolbox, name)(**options), small_net(seed=1), images(5)
    threat = ThreatModel(norm=norm, eps=0.2, goal=goal)
    y = classify(model, x)
    if goal is Goal.TARGETED and name == "FoolboxFGSM":
        with pytest.raises(ConfigError, match="untargeted for foolbox's FGSM"):
            attacked(attack, model, x, y, threat=threat)
        return
    _, oracle, last = attacked(attack, model, x, y, threat=threat, batch_size=3)
    radius = {} if name == "FoolboxCW" else {"epsilon": 0.2}
    calls = [(*call, (str(goal), part.tolist()), radius) for part in torch.split(y, 3)]
    assert library.calls == calls
    beyond = (x + 0.1).clamp(0, 1)
    assert torch.equal(last, threat.project(x, beyond) if name == "FoolboxCW" else beyond)
    assert (oracle.ledger.forwards >= 1).all()
