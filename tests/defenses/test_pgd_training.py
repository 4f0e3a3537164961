"""Adversarial training: it makes networks robust, and disturbs nothing while attacking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from defenses.natural import Natural
from defenses.pgd_training import PGDTraining
from defenses.training.split import split
from robench import plugins
from robench.attack.losses import cross_entropy
from robench.attack.oracle import Oracle
from robench.attack.protocol import AttackInfo
from robench.attack.threat import ThreatModel
from robench.data.images import image_set
from robench.model.defense import Defense, TrainingContext
from robench.model.interface import Model
from robench.randomness import Randomness

EPS = 0.15


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Ascent:
    """The inner attack of these tests, in four lines; the real one is another package's."""

    info: ClassVar[AttackInfo] = AttackInfo(title="Ascent", paper="", norms=("Linf",))
    steps: int = 5
    step_size: float | None = None
    random_start: bool = True

    def __call__(self, oracle, rng):
        x, threat = oracle.x, oracle.threat
        point = threat.sample(x, rng) if self.random_start else x
        for _ in range(self.steps):
            step = threat.norm.ascent(oracle.gradient(cross_entropy, point))
            point = threat.project(x, point + 2.5 * threat.eps / self.steps * step)
        return point


def toy(count=400):
    """One strong pixel that eps cannot flip, and 35 weak ones that it can: the tempting, brittle shortcut."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    sign = (2 * labels - 1).float()[:, None]
    strong = sign * (torch.rand(count, 1, generator=generator) < 0.95).float().mul(2).sub(1)
    weak = 0.5 + 0.07 * sign + 0.05 * torch.randn(count, 35, generator=generator)
    images = torch.cat([0.5 + 0.4 * strong, weak], dim=1).clamp(0, 1).view(count, 1, 6, 6)
    return image_set((images * 255).to(torch.uint8), labels, name="toy", split="train")


def network(norm=False):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        middle = [nn.BatchNorm1d(16)] if norm else []
        return nn.Sequential(
            nn.Flatten(), nn.Linear(36, 16), *middle, nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2)
        )


def context(state=None, progress=None):
    return TrainingContext(
        seed=1, device="cpu", state=state, identity={}, progress=progress or (lambda row: None)
    )


def accuracies(net, data):
    x, y = data.batch(slice(None))
    threat = ThreatModel(eps=EPS)
    net.eval()
    oracle = Oracle(Model(name="net", net=net, classes=2), x, y, threat, batch_size=len(x))
    x_adv = Ascent(steps=20)(oracle, Randomness(9, data.indices))
    return (net(x).argmax(1) == y).float().mean().item(), (net(x_adv).argmax(1) == y).float().mean().item()


def recipe(**options):
    values = {"epochs": 6, "eps": EPS, "inner": Ascent(), "validation": 0.1}
    return PGDTraining(**(values | {"batch_size": 32, "learning_rate": 0.1} | options))


def same(one, other):
    weights = other.state_dict()
    return all(torch.equal(tensor, weights[name]) for name, tensor in one.state_dict().items())


@pytest.mark.thorough
def test_it_makes_a_network_robust_where_natural_training_does_not():
    data = toy()
    natural, robust = network(), network()
    Natural(epochs=15, schedule="cosine")(natural, data, context=context())
    defense = recipe(epochs=3)
    assert isinstance(defense, Defense)
    history = defense(robust, data, context=context())
    clean, under_attack = accuracies(natural, data)
    assert clean > 0.97
    assert under_attack < 0.5
    assert accuracies(robust, data)[1] > 0.85
    assert history[-1]["validation_robust_accuracy"] > 0.8
    assert history[-1]["validation_robust_accuracy"] <= history[-1]["validation_accuracy"]


@pytest.mark.thorough
def test_the_checkpoint_is_chosen_by_robust_accuracy():
    data, net = toy(), network()
    defense = recipe(epochs=4, schedule="constant", learning_rate=0.2, warmup_epochs=0.0)
    history = defense(net, data, context=context())
    robust = [row["validation_robust_accuracy"] for row in history]
    natural = [row["validation_accuracy"] for row in history]
    assert natural.index(max(natural)) != robust.index(max(robust))  # another epoch than natural accuracy's
    last = network()
    first_best = robust.index(max(robust)) + 1

    class StoppedError(Exception):
        pass

    def stop(row):
        if "step" not in row and row["epoch"] == first_best:
            raise StoppedError

    with pytest.raises(StoppedError):
        defense(last, data, context=context(progress=stop))
    assert same(net, last)


@pytest.mark.thorough
def test_the_plugin_pgd_is_asked_for_by_name(monkeypatch):
    requests = []
    monkeypatch.setattr(plugins, "find", lambda kind, name: requests.append((kind, name)) or Ascent)
    by_name, by_value = network(), network()
    replace(recipe(epochs=1), inner=None, steps=5)(by_name, toy(), context=context())
    recipe(epochs=1)(by_value, toy(), context=context())
    assert requests == [("attacks", "pgd")]
    assert same(by_name, by_value)


@pytest.mark.thorough
def test_the_real_pgd_fits():
    from attacks.gradient.pgd import PGD

    net = network()
    history = recipe(epochs=3, inner=PGD(steps=5))(net, toy(), context=context())
    assert history[-1]["validation_robust_accuracy"] > 0.8


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_attacker_meets_frozen_parameters_and_the_mode_asked_for(mode):
    rows = []

    class Spy(Ascent):
        def __call__(self, oracle, rng):
            net = oracle.model.net
            rows.append(
                (
                    net.training,
                    any(p.requires_grad for p in net.parameters()),
                    oracle.threat.eps,
                    oracle.track,
                )
            )
            return super().__call__(oracle, rng)

    net = network(norm=True)
    recipe(epochs=1, inner=Spy(), attack_mode=mode, batch_size=128)(net, toy(), context=context())
    training = [row for row in rows if not row[3]]
    assert all(row[:2] == (mode == "train", False) for row in training)
    radii = [row[2] for row in training]
    assert radii == pytest.approx([EPS / 6, EPS / 2, EPS * 5 / 6])
    assert all(row[:3] == (False, False, EPS) for row in rows if row[3])
    assert all(p.requires_grad for p in net.parameters())
    # Running statistics move once per step, and in train mode with every pass of the attack too.
    assert int(net[2].num_batches_tracked) == (3 if mode == "eval" else 3 * 6)


@pytest.mark.thorough
def test_bfloat16_attacks_train_float32_weights():
    net = network()
    history = recipe(epochs=3, attack_precision="bfloat16")(net, toy(), context=context())
    assert history[-1]["validation_robust_accuracy"] > 0.8
    assert all(p.dtype == torch.float32 for p in net.parameters())


def test_what_is_held_out_is_not_attacked_in_training():
    data, indices = toy(), set()

    class Spy(Ascent):
        def __call__(self, oracle, rng):
            if not oracle.track:
                indices.update(rng.images.tolist())
            return super().__call__(oracle, rng)

    recipe(epochs=1, inner=Spy())(network(), data, context=context())
    training_set, validation_set = split(data, 0.1, 1)
    assert indices == set(training_set.indices.tolist())
    assert indices.isdisjoint(validation_set.indices.tolist())


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {here!r}]
import torch; torch.set_num_threads(1)
from test_pgd_training import context, network, recipe, toy
def progress(row):
    if row["epoch"] == 2 and "step" in row:
        os.kill(os.getpid(), signal.SIGKILL)
recipe(epochs=3)(network(), toy(100), context=context(Path({path!r}), progress))
"""


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_resumes_to_the_same_bits(tmp_path):
    path = tmp_path / "state"
    here = Path(__file__).resolve().parent
    code = KILLED.format(root=str(here.parent.parent), here=str(here), path=str(path))
    process = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
    assert process.returncode == -signal.SIGKILL
    whole, second = network(), network()
    recipe(epochs=3)(whole, toy(100), context=context())
    rows = []
    recipe(epochs=3)(second, toy(100), context=context(path, rows.append))
    assert [row["epoch"] for row in rows if "step" not in row] == [2, 3]
    assert same(whole, second)
