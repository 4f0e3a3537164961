"""The engine `fastest`: proven copies take turns on the run's own images, and the shortest pass decides."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from attacks.gradient.pgd import PGD
from robench.api import benchmark, wrap
from robench.data.images import image_set
from robench.model import prepared, timed_copies
from robench.model.interface import Model
from robench.model.prepared import AS_IT_IS, PreparedModel
from robench.model.timed_copies import ROUNDS, seconds_of_passes
from tests.robench.model.folding_networks import Base, X

FOLDED = "folded, channels-last"
OTHERS = {FOLDED, "folded", "channels-last", "frozen copy", AS_IT_IS}


@pytest.fixture(autouse=True)
def without_compiling(monkeypatch):
    monkeypatch.setattr(prepared, "COMPILED_METHODS", ())


def copies_of(net):
    model = Model(name="m", net=net, classes=4)
    return PreparedModel(model, engine="fastest"), [model.source("exact")]


def clock(monkeypatch, cost):
    """Let the clock go on by the cost of a copy in every pass; return the copies, and the names in turn."""
    state = SimpleNamespace(now=0.0, name="")
    names = []

    @contextmanager
    def using(name):
        state.name = name
        yield

    def ask(*_, **__):
        names.append(state.name)
        price = cost[state.name][(len(names) - 1) // len(cost)]
        if price is None:
            raise RuntimeError("no such kernel")
        state.now += price

    monkeypatch.setattr(timed_copies, "ask", ask)
    monkeypatch.setattr(timed_copies.time, "perf_counter", lambda: state.now)
    return SimpleNamespace(using=using), names


def test_the_shortest_pass_counts_without_the_first(monkeypatch):
    cost = {"a": [1.0, 9.0, 7.0, 8.0], "b": [99.0, 5.0, 6.0, 6.0]}
    copies, names = clock(monkeypatch, cost)
    seconds = seconds_of_passes(None, copies, list(cost), X, None)
    assert seconds == {"a": 7.0, "b": 5.0}
    assert names == ["a", "b"] * (1 + ROUNDS)


def test_what_fails_is_never_the_fastest(monkeypatch):
    copies, _ = clock(monkeypatch, {"a": [1.0] * 4, "b": [None] * 4})
    assert seconds_of_passes(None, copies, ["a", "b"], X, None) == {"a": 1.0, "b": float("inf")}


@pytest.mark.parametrize("best", sorted(OTHERS))
def test_the_fastest_is_chosen_also_if_it_is_the_network_itself(monkeypatch, best):
    def seconds(_model, _copies, names, _x, _source):
        return {name: 0.010 if name == best else 0.012 for name in names}

    monkeypatch.setattr(prepared, "seconds_of_passes", seconds)
    copies, sources = copies_of(Base())
    assert copies.choose(X, sources) == best
    assert set(copies.seconds) == OTHERS
    assert set(copies.not_used) == OTHERS - {best}
    line = "slower: 12 ms a pass with its gradient, the fastest 10 ms"
    assert set(copies.not_used.values()) == {line}
    assert (copies.distance is None) == (best == AS_IT_IS)


def test_a_copy_that_is_found_wrong_makes_way_for_the_next_by_the_clock(monkeypatch):
    order = {FOLDED: 1.0, "channels-last": 2.0, AS_IT_IS: 3.0, "folded": 4.0, "frozen copy": 5.0}
    monkeypatch.setattr(prepared, "seconds_of_passes", lambda *args: {name: order[name] for name in args[2]})
    copies, sources = copies_of(Base())
    assert copies.choose(X, sources) == FOLDED
    copies.rule_out(FOLDED, "it went another way")
    assert copies.choose(X, sources) == "channels-last"
    assert copies.not_used[FOLDED] == "it went another way"
    assert "channels-last" not in copies.not_used
    assert copies.not_used["folded"] == "slower: 4e+03 ms a pass with its gradient, the fastest 2e+03 ms"


def test_a_copy_whose_timed_pass_fails_says_so(monkeypatch):
    times = {FOLDED: float("inf"), "channels-last": 2.0}
    monkeypatch.setattr(
        prepared, "seconds_of_passes", lambda *args: {name: times.get(name, 3.0) for name in args[2]}
    )
    copies, sources = copies_of(Base())
    assert copies.choose(X, sources) == "channels-last"
    assert copies.not_used[FOLDED] == "a pass that was timed failed"


def test_later_craftings_are_not_timed_again(monkeypatch):
    calls = []
    monkeypatch.setattr(
        prepared, "seconds_of_passes", lambda *args: calls.append(args) or dict.fromkeys(args[2], 1.0)
    )
    copies, sources = copies_of(Base())
    for images in (X, X.flip(0)):
        copies.begin()
        copies.choose(images, sources)
    assert len(calls) == 1


def test_a_run_says_what_was_fastest_and_what_it_left(monkeypatch):
    net = Base()
    data = image_set(X, net(X).argmax(dim=1), classes=4)
    models, attacks = [wrap(net, name="m", classes=4)], {"a": PGD(steps=2)}
    result = benchmark(models, data, attacks=attacks, eps=0.1, engine="fastest")
    engine = next(r for r in result.records if r.attack.label == "a").provenance.engine
    assert engine.used in OTHERS
    assert set(engine.not_used) == OTHERS - {engine.used}
    assert all("slower: " in reason for reason in engine.not_used.values())


@pytest.mark.parametrize("name", ["auto", "eager"])
def test_a_record_says_how_far_the_copy_was_from_the_network(name):
    net = Base()
    data = image_set(X, net(X).argmax(dim=1), classes=4)
    models, attacks = [wrap(net, name="m", classes=4)], {"a": PGD(steps=2)}
    result = benchmark(models, data, attacks=attacks, eps=0.1, engine=name)
    proof = next(r for r in result.records if r.attack.label == "a").provenance.engine.proof
    if name == "eager":
        assert proof is None
    else:
        assert 0 < proof["outputs"] < 1e-4
        assert 0 < proof["gradients"] < 1e-2


def test_the_distance_is_that_of_the_comparisons(monkeypatch):
    copies, sources = copies_of(Base())
    copies.engine = "auto"
    name = copies.choose(X, sources)
    with copies.using(name):
        other = timed_copies.ask(copies.model, sources[0], X[:16], without_gradient=False)
    own = timed_copies.ask(copies.model, sources[0], X[:16], without_gradient=False)
    largest = float((own.surrogate - other.surrogate).abs().max() / own.surrogate.abs().max())
    assert copies.distance.outputs >= largest > 0
    assert copies.distance.outputs < 100 * largest
    before = copies.distance
    copies.confirm(name, torch.rand_like(X), sources)
    assert copies.distance.outputs >= before.outputs
