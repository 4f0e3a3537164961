"""Networks that are not registered are asked in evaluation mode, and left as they were."""

import functools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robench.model.evaluation import evaluation_mode
from robench.model.function_network import FunctionNetwork
from robench.model.module_search import all_modules, closure_values, modules_within


class Pipe:
    def __init__(self, net):
        self.model = net

    def __call__(self, x):
        return self.model(x)


class Secret:
    __slots__ = ("__net",)

    def __init__(self, net):
        self.__net = net

    def __call__(self, x):
        return self.__net(x)


class Holds(nn.Module):
    def __init__(self, value, ask):
        super().__init__()
        self.value, self.ask = value, ask

    def forward(self, x):
        return self.ask(self.value, x)


def by_global(net):
    names = {"NETS": [net]}
    exec("def outer(x):\n    return (lambda z: NETS[0](z))(x)", names)
    return names["outer"]


def nested(net):
    def inner(x):
        return net(x)

    return lambda x: inner(1 * x)


def listed(net):
    nets = [net]
    return lambda x: nets[0](1 * x)


def held(net):
    holder = SimpleNamespace(net=net)
    holder.own = holder
    return lambda x: holder.net(1 * x)


def keyword(net):
    def asked(x, *, net=net):
        return net(x)

    return asked


def in_function(made):
    return lambda net: FunctionNetwork(made(net))


PLACES = {
    "object": in_function(Pipe),
    "private slot": in_function(Secret),
    "bound call": in_function(lambda net: Pipe(net).__call__),
    "partial": in_function(lambda net: functools.partial(lambda net, x: net(x), net)),
    "function in a function": in_function(nested),
    "list in a closure": in_function(listed),
    "attribute of an object": in_function(held),
    "keyword": in_function(keyword),
    "global": in_function(by_global),
    "forward": in_function(lambda net: net.forward),
    "a module's list": lambda net: Holds([net], lambda nets, x: nets[0](x)),
    "a module's dict": lambda net: Holds({"a": (net,)}, lambda nets, x: nets["a"][0](x)),
    "a module's object": lambda net: Holds(Pipe(net), lambda pipe, x: pipe(x)),
    "a list of a list's module": lambda net: Holds(
        [Holds([net], lambda nets, x: nets[0](x))], lambda nets, x: nets[0](x)
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_network_is_found_wherever_it_is(place):
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    x = torch.rand(4, 3)
    network = PLACES[place](net)
    assert net.training
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with evaluation_mode(network) as state:
        outputs = network(x)
        assert not state.changes()
        net[0].running_mean.add_(1)
        assert len(state.changes()) == 1
    assert torch.equal(outputs, net.eval()(x))
    net.train()
    with evaluation_mode(network):
        net.train()
        network(x)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_search_ends():
    ring = []
    ring.append([ring] * 5)
    assert list(modules_within(ring)) == []
    net = nn.Flatten()
    assert list(modules_within([net, [net]])) == [net]
    net.value = [net, [nn.ReLU()]]
    assert [*all_modules(net)] == ["", "<1>"]


def test_the_code_of_libraries_is_not_searched():
    assert list(modules_within([torch.relu, nn.functional.dropout, functools.wraps, nn.ReLU])) == []


def made(value):
    def inner():
        return value, later, nothing

    nothing = None
    if value == "full":
        later = "late"
    return inner


def test_values_are_returned_without_none_and_empty_cells():
    assert sorted(closure_values(made("full"))) == ["full", "late"]
    assert closure_values(made("short")) == ["short"]
    assert closure_values(made) == []
