"""Attacks that choose what they differentiate: crafted once per model, under their own name."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from robench.attack.losses import cross_entropy
from robench.attack.oracle import Oracle
from robench.attack.protocol import AttackInfo
from robench.attack.threat import ThreatModel
from robench.data.images import image_set
from robench.model.batch_identity import current_batch
from robench.model.interface import Model
from robench.run.crafting import Board, Crafting
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keeper import Memory
from robench.run.keys import crafting_key
from robench.run.settings import Settings
from robench.run.shards import Shard
from robench.run.work import Work
from tests.truths import classify, images, small_net, two_sources

THREAT = ThreatModel(eps=1e-5)  # nothing breaks, so that no image is spared a pass


@dataclass(frozen=True, kw_only=True)
class Both:
    """A sign step through the sum of all sources."""

    info: ClassVar[AttackInfo] = AttackInfo(title="both", paper="", norms=("Linf",), own_source="everything")
    batches: ClassVar[list[int]] = []

    def __call__(self, oracle, x, y, *, threat, rng):
        self.batches.append(current_batch().key)
        total = sum(oracle.gradient(cross_entropy, x, source=s) for s in oracle.model.sources.values())
        return threat.project(x, x + threat.eps * threat.norm.ascent(total))


@dataclass(frozen=True, kw_only=True)
class Each:
    """A sign step through the source that is set."""

    info: ClassVar[AttackInfo] = AttackInfo(title="each", paper="", norms=("Linf",))

    def __call__(self, oracle, x, y, *, threat, rng):
        return threat.project(x, x + threat.eps * threat.norm.ascent(oracle.gradient(cross_entropy, x)))


def work(attacks, sources=()):
    model = two_sources(small_net())
    entry = EvaluatedModel(model=model, fingerprint=model.fingerprint(), sources=sources)
    data = image_set(images(6), classify(model, images(6)), classes=4)
    board = Board(threat=THREAT, eps_text="0.1", attacks=attacks)
    return Work(models=[entry], data=data, boards=[board], settings=Settings(shard=3))


def key(plan, source, attack):
    shard = next(Shard.split(plan.data, 3))
    board = Board(threat=THREAT, eps_text="0.1", attacks={"attack": attack})
    return crafting_key(Crafting.of(board, "attack", plan.models[0], source), shard, Settings())


@pytest.mark.thorough
def test_it_is_crafted_once_per_model_whatever_sources_are_named():
    for sources in ((), ("turned",)):
        Both.batches.clear()
        plan, keeper = work({"both": Both(), "each": Each()}, sources), Memory()
        records = [outcome.record for outcome in evaluate(plan, keeper)]
        assert not keeper.failures
        assert len(records) == plan.units()
        assert len(Both.batches) == len(set(Both.batches)) == 2  # two shards, each a batch of its own
        pairs = {(r.attack.label, r.source.gradient_source) for r in records}
        assert pairs - {("clean", "")} == {("both", "everything")} | {
            ("each", name) for name in (sources or ("exact", "turned"))
        }
        both = next(r for r in records if r.attack.label == "both")
        assert both.columns.backwards == [2.0] * 3


def test_its_key_holds_the_name_of_its_choice():
    plan = work({"both": Both()})
    keys = {key(plan, name, Both()) for name in ("everything", "exact", "adaptive")}
    assert len(keys) == 3
    assert {crafting.gradient_source for crafting in plan.craftings} == {"everything"}


def test_the_oracle_asks_through_the_source_it_is_given_and_counts_the_pass():
    model, x = two_sources(small_net()), images(5)
    y = classify(model, x)
    oracle = Oracle(model, x, y, THREAT)
    own = oracle.gradient(cross_entropy, x)
    opposite, exact = (oracle.gradient(cross_entropy, x, source=model.source(n)) for n in ("turned", "exact"))
    assert torch.equal(own, exact)
    assert not torch.equal(own, opposite)
    assert oracle.ledger.forwards.tolist() == oracle.ledger.backwards.tolist() == [3] * 5
    value, _ = oracle.value_and_gradient(cross_entropy, x, source=model.source("turned"))
    torch.testing.assert_close(value, cross_entropy(-model.net(x).detach(), y, model.output))


def test_a_plain_model_has_no_neighbourhood():
    assert small_net().neighbourhood is None
    assert Model(name="m", net=torch.nn.Flatten(), classes=2).neighbourhood is None


def test_another_revision_is_another_key():
    @dataclass(frozen=True, kw_only=True)
    class Revised(Each):
        info: ClassVar[AttackInfo] = AttackInfo(title="each", paper="", norms=("Linf",), revision=2)

    Revised.__module__, Revised.__qualname__ = Each.__module__, Each.__qualname__
    plan = work({})
    first, again, second = (key(plan, "exact", attack) for attack in (Each(), Each(), Revised()))
    assert first == again
    assert first != second
