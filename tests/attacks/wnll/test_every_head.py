"""What `graph_adaptive` promises, on every head that is installed, whatever it is called and can do."""

import dataclasses
import functools

import pytest

from attacks.query.square import Square
from attacks.wnll.attacker_sources import sources_of
from robench import plugins
from robench.errors import ConfigError
from robench.model.interface import Coupling, Model
from robench.recipe import build
from tests.attacks.wnll.graph_toys import X, headed, network
from tests.attacks.wnll.test_graph_adaptive import ADAPTIVE, EPS, LOSSES, covers
from tests.truths import attacked, broken, classify

SMALL = {"m": 8, "n": 4, "k": 5, "template": 60, "calibration": 30, "votes": 2}
"""Options of heads by these names, so that they fit the toy; a head has those of them that it has."""
PROTOCOLS = ("independent", "joint", "voting")


def recipes():
    """Yield name, protocol and recipe of every head of ours; of one with protocols, each that it takes."""
    for name in plugins.names("heads"):
        if plugins.distribution("heads", name) != "robench":
            continue
        head = plugins.find("heads", name)
        fields = {field.name for field in dataclasses.fields(head)}
        options = {option: value for option, value in SMALL.items() if option in fields}
        for protocol in PROTOCOLS if "protocol" in fields else ("",):
            try:
                yield (
                    name,
                    protocol,
                    build(head, options | ({"protocol": protocol} if protocol else {}), where=name),
                )
            except ConfigError:
                continue


HEADS = {f"{name} {protocol}".strip(): recipe for name, protocol, recipe in recipes()}


@functools.cache
def outcome(name):
    """The model, its answers, and what the adaptive attack breaks; made once for all tests."""
    model = headed(HEADS[name], network(buffer=16))
    y = classify(model, X)
    x_adv, oracle, _ = attacked(ADAPTIVE, model, X, y, eps=EPS)
    assert oracle.threat.admits(X, x_adv).all()
    return model, y, broken(model, x_adv, y)


def test_every_head_and_protocol_is_here():
    assert {name.split()[0] for name in HEADS} == {
        name for name in plugins.names("heads") if plugins.distribution("heads", name) == "robench"
    }
    assert {"wnll independent", "wnll joint", "wnll voting", "gll joint", "pwll joint", "knn"} <= {*HEADS}
    assert "pwll independent" not in HEADS


@pytest.mark.thorough
@pytest.mark.parametrize("name", HEADS)
def test_it_is_at_least_as_strong_as_every_single_source(name):
    model, y, breaks = outcome(name)
    assert {source.name for source in sources_of(model, ())} >= set(model.sources)
    strongest = 0
    for source in sources_of(model, ADAPTIVE.temperatures):
        for attack in LOSSES.values():
            single, alone, _ = attacked(attack, model, X, y, eps=EPS, source=source)
            points = broken(model, single, y) & alone.broken
            assert covers(model, breaks, points), source.name
            strongest = max(strongest, int(points.sum()))
    assert strongest <= int(breaks.sum()) < len(X)


@pytest.mark.thorough
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_at_least_as_strong_as_transfer_from_the_linear_twin(name, loss):
    model, y, breaks = outcome(name)
    twin = Model(name="twin", net=network(buffer=16).eval(), classes=10)
    images, _, _ = attacked(LOSSES[loss], twin, X, y, eps=EPS)
    assert covers(model, breaks, broken(model, images, y))


@pytest.mark.thorough
@pytest.mark.parametrize("name", HEADS)
def test_it_is_at_least_as_strong_as_square(name):
    model, y, breaks = outcome(name)
    images, _, _ = attacked(Square(queries=200), model, X, y, eps=EPS)
    assert int(breaks.sum()) >= int(broken(model, images, y).sum())
    assert model.coupling in (Coupling.JOINT, Coupling.INDEPENDENT)
