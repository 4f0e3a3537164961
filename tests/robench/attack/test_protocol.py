"""How attacks are called: the form of today, and the older one that third parties may still have."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from robench.attack.craft import craft
from robench.attack.losses import cross_entropy
from robench.attack.oracle import Oracle
from robench.attack.protocol import AttackInfo, has_older_form, run_attack
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError, JobError
from robench.randomness import Randomness
from tests.truths import classify, images, small_net


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step from a random point."""

    info: ClassVar[AttackInfo] = AttackInfo(title="Step", paper="none", norms=("Linf", "L2"))

    def __call__(self, oracle, rng):
        start = oracle.threat.sample(oracle.x, rng)
        gradient = oracle.gradient(cross_entropy, start)
        return oracle.threat.project(
            oracle.x, start + oracle.threat.eps * oracle.threat.norm.ascent(gradient)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OldStep(Step):
    """The same, written for the older form."""

    def __call__(self, oracle, x, y, *, threat, rng):
        start = threat.sample(x, rng)
        gradient = oracle.gradient(cross_entropy, start, y)
        return threat.project(x, start + threat.eps * threat.norm.ascent(gradient))


class WritesToOldInputs(OldStep):
    """It writes to the copies it is given."""

    def __call__(self, oracle, x, y, *, threat, rng):
        last = OldStep.__call__(self, oracle, x, y, threat=threat, rng=rng)
        x.zero_(), y.zero_()
        return last


class WritesToImages(Step):
    """It writes to the images it should only read."""

    def __call__(self, oracle, rng):
        oracle.x.add_(0.1)
        return oracle.x


class Wrong(Step):
    """Nobody can call it."""

    def __call__(self, oracle):
        return oracle.x


def crafted(attack, goal=Goal.UNTARGETED):
    model, x = small_net(seed=1), images(8)
    y = classify(model, x)
    result = craft(model, attack, x, y, threat=ThreatModel(eps=0.1, goal=goal), indices=torch.arange(8))
    assert torch.equal(x, images(8))
    return result


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("older", [OldStep, WritesToOldInputs])
def test_the_older_form_gives_the_same_images_and_costs(older, goal):
    new, old = crafted(Step(), goal), crafted(Named(older), goal)
    assert torch.equal(new.x_adv, old.x_adv)
    assert torch.equal(new.ledger.forwards, old.ledger.forwards)
    assert not torch.equal(new.x_adv, images(8))


def Named(kind):  # noqa: N802 - randomness goes by the name of the class
    return type("Step", (kind,), {"__call__": kind.__call__})()


def test_each_form_is_told_by_its_signature():
    assert not has_older_form(Step())
    assert has_older_form(OldStep())

    class Defaults:
        def __call__(self, oracle, x=None, y=None, *, threat=None, rng=None):
            return x

    class Anything:
        def __call__(self, *values, **names):
            return values[0].x

    class Hidden:
        def __call__(self, oracle, x, y=None, **names):
            return x

    assert has_older_form(Defaults())
    assert has_older_form(Hidden())
    assert not has_older_form(Anything())


def test_what_can_be_called_in_neither_form_is_refused_before_anything_is_asked():
    model, x = small_net(seed=1), images(2)
    with pytest.raises(ConfigError, match=r"\(oracle, rng\)"):
        run_attack(
            Wrong(),
            Oracle(model, x, classify(model, x), ThreatModel(eps=0.1)),
            Randomness(0, torch.arange(2)),
        )
    with pytest.raises(ConfigError, match=r"\(oracle, rng\)"):
        crafted(Wrong())
    with pytest.raises(ConfigError, match="cannot be called"):
        has_older_form(object())


def test_an_attack_that_writes_to_the_oracles_images_is_stopped():
    with pytest.raises(JobError, match="in place"):
        crafted(WritesToImages())
