"""Every attack of every library that is installed, on a tiny network: judged, counted, without a trace."""

import os
import random
import warnings

import numpy as np
import pytest
import torch

from attacks.libraries import adv_lib, art, foolbox, torchattack, torchattacks
from attacks.libraries.table import read_table
from robench import plugins
from robench.attack.craft import CraftSettings, craft
from robench.attack.norms import NORMS
from robench.attack.threat import Goal, ThreatModel
from robench.errors import JobError, PluginError
from robench.judge.verdict import judge
from robench.model.evaluation import evaluation_mode
from robench.model.prepared import PreparedModel
from robench.recipe import build
from tests.attacks.libraries.quick import OPTIONS, SHAPE, layered_model

CATALOGUES = {
    "adv_lib": adv_lib.CATALOGUE,
    "art": art.CATALOGUE,
    "foolbox": foolbox.CATALOGUE,
    "torchattack": torchattack.CATALOGUE,
    "torchattacks": torchattacks.CATALOGUE,
}
EPS = {"Linf": 0.06, "L2": 1.5, "L1": 25.0, "L0": 20}
REFUSED = {
    "art/GeoDA": r"`np\.mat` was removed in the NumPy 2\.0 release",
    "torchattacks/Square L2": "doesn't match the broadcast shape",
    "torchattack/SSA": r"size of tensor a \(12\) must match the size of tensor b \(224\)",
    "torchattack/L2T": r"asked about images of shape \(3, 224, 224\)",
}
"""What cannot attack the small network (under a norm) for a reason of the library, and what a user reads."""
SLOW = set()
NAMES = [f"{library}/{name}" for library in CATALOGUES for name in read_table(library).attacks]
pytestmark = [  # what foolbox and adv-lib import is deprecated
    pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The distutils package:DeprecationWarning"),
]


def installed(name):
    library, _, inner = name.partition("/")
    kind = CATALOGUES[library].find(inner)
    try:
        return build(kind, OPTIONS.get(name, {}), where=name)
    except PluginError as error:
        pytest.skip(str(error))


def state():
    """What an attack could leave changed in the process."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),
        "python": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "cudnn": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "filters": list(warnings.filters),
        "printing": str(np.get_printoptions()),
        "errors": np.geterr(),
        "folder": (os.getcwd(), os.listdir()),
        "environment": dict(os.environ),
    }


def network_state(net):
    return {
        **{f"weight {name}": value.tolist() for name, value in net.state_dict().items()},
        **{
            f"parameter {name}": (p.requires_grad, None if p.grad is None else p.grad.tolist())
            for name, p in net.named_parameters()
        },
        **{
            f"part {name}": (part.training, len(part._forward_hooks), len(part._backward_hooks))
            for name, part in net.named_modules()
        },
    }


def crafted(attack, model, x, y, threat, *, seed=0):
    """What a run would hand to the judge, of the network as it is, so that its passes can be counted."""
    return craft(
        model,
        attack,
        x,
        y,
        threat=threat,
        indices=torch.arange(len(x)),
        settings=CraftSettings(drop=False, seed=seed),
        prepared=PreparedModel(model, engine="eager"),
    )


def subject():
    """The network, images, and the labels it gives them."""
    model = layered_model()
    x = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(1))
    with evaluation_mode(model.net), torch.no_grad():
        return model, x, model.net(x).argmax(dim=1)


names = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in NAMES]
)


@pytest.mark.thorough
@names
def test_it_is_judged_counted_and_leaves_no_trace(name, tmp_path, monkeypatch, capfd):
    attack = installed(name)
    monkeypatch.chdir(tmp_path)
    model, x, y = subject()
    batches = []
    model.net.module.conv1.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    capfd.readouterr()
    first, *others = attack.info.norms
    games = [*((first, goal) for goal in attack.info.goals), *((n, attack.info.goals[0]) for n in others)]
    for norm, goal in games:
        threat = ThreatModel(norm=NORMS[norm], eps=EPS[norm], goal=Goal(goal))
        before, network, clean = state(), network_state(model.net), x.clone()
        batches.clear()
        if refusal := REFUSED.get(name) or REFUSED.get(f"{name} {norm}"):
            with pytest.raises(JobError, match=refusal):
                crafted(attack, model, x, y, threat)
        else:
            result = crafted(attack, model, x, y, threat)
            booking = int(result.ledger.forwards.sum())
            queries = sum(batches) - len(x)  # it is asked once before, whether it changes by itself
            # Passes of a library are shared out among the images, and rounded up.
            assert queries <= booking < queries + len(x), (norm, goal)
            target = (y + 1) % 10 if goal == "targeted" else None
            verdict = judge(model, x, y, result.x_adv, threat=threat, target=target)
            assert len(verdict.status) == len(x)
            assert torch.isfinite(result.x_adv).all()
        assert torch.equal(x, clean)
        assert network_state(model.net) == network
        after = state()
        assert [key for key, value in before.items() if after[key] != value] == []
    terminal = capfd.readouterr()
    assert (terminal.out, terminal.err) == ("", "")


@pytest.mark.thorough
@names
def test_what_the_table_says_of_chance_and_company_is_so(name, tmp_path, monkeypatch):
    attack = installed(name)
    info = attack.info
    if name in REFUSED or info.randomised:
        pytest.skip("randomised, or it cannot attack this network")
    monkeypatch.chdir(tmp_path)
    model, x, y = subject()
    threat = ThreatModel(norm=NORMS[info.norms[0]], eps=EPS[info.norms[0]], goal=Goal(info.goals[0]))
    whole = crafted(attack, model, x, y, threat).x_adv
    assert torch.equal(crafted(attack, model, x, y, threat, seed=1).x_adv, whole)
    if not info.couples_images:
        part = crafted(attack, model, x[:2], y[:2], threat).x_adv
        assert torch.allclose(part, whole[:2], atol=1e-5)


def test_every_name_is_a_plugin():
    assert set(NAMES) <= set(plugins.names("attacks"))
    exclusions = {name.partition(" ")[0] for name in REFUSED}
    assert {*OPTIONS, *exclusions, *SLOW} <= set(NAMES)
