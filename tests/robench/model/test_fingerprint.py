"""Every number in a network counts, wherever it is kept; nothing else does."""

import argparse
import copy
import functools
import itertools
import logging
import operator
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import warnings
from array import array
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import fx, nn

from robench.model.fingerprint import network_digest


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        with torch.no_grad():
            self.fc.weight.copy_(torch.arange(12.0).view(3, 4))
            self.fc.bias.zero_()
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.scale, self.mean, self.names = 0.5, np.ones(2), ["a", {"b": torch.ones(1)}]

    def forward(self, x):
        return self.fc(x) * self.scale


CHANGES = {
    "weight": lambda n: n.fc.weight.data[0, 0].add_(1e-6 + 1),
    "nan": lambda n: n.fc.bias.data[0].fill_(torch.nan),
    "buffer": lambda n: n.kept.add_(1),
    "scale": lambda n: setattr(n, "scale", 0.25),
    "array": lambda n: setattr(n, "mean", np.zeros(2)),
    "nested": lambda n: n.names[1].update(b=torch.zeros(1)),
    "dtype": lambda n: n.half(),
    "parametrisation": lambda n: nn.utils.parametrizations.weight_norm(n.fc),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_shows(change):
    net = Net()
    before = network_digest(net)
    CHANGES[change](net)
    assert network_digest(net) != before


def test_copies_modes_flags_and_layout_do_not_show():
    net = Net()
    before = network_digest(net)
    net.eval().requires_grad_(False)
    net.fc.weight.data = net.fc.weight.data.t().contiguous().t()
    assert network_digest(net) == before == network_digest(copy.deepcopy(net))


def quantised(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


def frozen(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.script(nn.Sequential(net.fc).eval()))


@pytest.mark.parametrize("made", [quantised, frozen])
def test_networks_without_a_plain_state_are_told_apart(made):
    other = Net()
    other.fc.weight.data[0, 0] += 3
    assert network_digest(made(Net())) == network_digest(made(Net()))
    assert network_digest(made(Net())) != network_digest(made(other))


def test_what_cannot_be_written_out_is_known_by_its_type():
    class Odd(nn.Linear):
        def get_extra_state(self):
            return lambda: None

        def set_extra_state(self, state):
            pass

    assert network_digest(Odd(2, 2)) != b""


class Scale:
    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return x * self.by


class Slotted(Scale):
    __slots__ = ("by",)


class Odd(nn.Module):
    """Scales its input by what it holds in an odd place."""

    def __init__(self, place, by):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        nn.init.ones_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        place(self, by)

    def forward(self, x):
        return self.fc(x)


def layer(by):
    diagonal = nn.Linear(4, 4, bias=False)
    diagonal.weight.data = by * torch.eye(4)
    return diagonal


def by_global(by):
    names = {"SCALE": Scale(by), "inner": None}
    exec("def inner(x): return (lambda z: SCALE(z))(x)\ndef outer(x): return inner(x)", names)
    return names["outer"]


def keyword(by):
    def scaled(x, *, by=by):
        return x * by

    return scaled


def closure(by):
    layers = [layer(by)]
    return lambda x: layers[0](x) + 0


def loop(by):
    ring = [by]
    ring.append(ring)
    return ring


PLACES = {
    "private": lambda n, by: setattr(n, "_scale", by),
    "object": lambda n, by: setattr(n, "pre", Scale(by)),
    "slots": lambda n, by: setattr(n, "pre", Slotted(by)),
    "method": lambda n, by: setattr(n, "pre", Scale(by).__call__),
    "namespace": lambda n, by: setattr(n, "options", SimpleNamespace(by=by)),
    "list of layers": lambda n, by: setattr(n, "pre", [layer(by)]),
    "mapping beside what cannot be told": lambda n, by: setattr(n, "pre", {"a": object(), "b": layer(by)}),
    "set": lambda n, by: setattr(n, "pre", {by, "a", "b"}),
    "ring": lambda n, by: setattr(n, "pre", loop(by)),
    "global of a global": lambda n, by: setattr(n, "pre", by_global(by)),
    "keyword": lambda n, by: setattr(n, "pre", keyword(by)),
    "closure": lambda n, by: setattr(n, "pre", closure(by)),
    "hook": lambda n, by: n.fc.register_forward_hook(lambda _m, _i, o: o * by),
    "passing buffer": lambda n, by: n.register_buffer("by", torch.tensor(by), persistent=False),
    "class": lambda n, by: setattr(n, "kind", type("Kind", (), {"_by": by, "__module__": "theirs"})),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_lies_in_odd_places_counts(place):
    first, again, other = (network_digest(Odd(PLACES[place], by)) for by in (1.0, 1.0, 0.5))
    assert first == again
    assert first != other


def test_the_code_of_a_graph_counts():
    digests = set()
    for operation in (torch.relu, torch.sigmoid):
        graph = fx.Graph()
        graph.output(graph.call_function(operation, (graph.placeholder("x"),)))
        digests.add(network_digest(fx.GraphModule(nn.Module(), graph)))
    assert len(digests) == 2


def test_sets_of_names_are_told_in_no_order():
    """Their order is another one in each process."""

    def of(names):
        def chosen(x):
            return x if "b" in {"a", "b"} else -x

        constants = tuple(names if isinstance(c, frozenset) else c for c in chosen.__code__.co_consts)
        assert names in constants
        chosen.__code__ = chosen.__code__.replace(co_consts=constants)
        net = Odd(PLACES["private"], 1.0)
        net.pre = chosen
        return network_digest(net)

    class Backwards(frozenset):
        def __iter__(self):
            return iter(sorted(super().__iter__(), reverse=True))

        def __repr__(self):
            return f"frozenset({{{', '.join(map(repr, self))}}})"

    assert of(frozenset("ab")) == of(Backwards("ab"))


def test_a_class_is_known_by_its_code_and_not_by_where_its_file_lies():
    def held(module, body="return x + 1"):
        names = {"__name__": module}
        exec(f"class Step:\n    def apply(self, x):\n        {body}\n", names)
        net = nn.Flatten()
        net.step = names["Step"]
        return network_digest(net)

    assert held("_user_1234.mine") == held("_user_5678.mine")
    assert held("_user_1234.mine") != held("_user_1234.mine", "return x + 2")


class Secret:
    __slots__ = ("__by",)

    def __init__(self, by):
        self.__by = by


def seeded(generator, by):
    generator.manual_seed(int(by * 8))
    return generator


def remembering(by):
    @functools.lru_cache
    def scaled(x):
        return x * by

    return scaled


LIBRARY = {
    "fraction": Fraction,
    "decimal": Decimal,
    "complex": lambda by: complex(by, 0),
    "array": lambda by: array("f", [by]),
    "bytearray": lambda by: bytearray([int(by * 8)]),
    "memoryview": lambda by: memoryview(bytes([int(by * 8)])),
    "range": lambda by: range(int(by * 8)),
    "slice": lambda by: slice(int(by * 8)),
    "pattern": lambda by: re.compile("a" * int(by * 8)),
    "path": lambda by: Path("a" * int(by * 8)),
    "time": lambda by: timedelta(seconds=by),
    "normal": lambda by: statistics.NormalDist(by, 1),
    "itemgetter": lambda by: operator.itemgetter(int(by * 8)),
    "namespace of arguments": lambda by: argparse.Namespace(by=by),
    "cache": remembering,
    "method of a list": lambda by: [by].__getitem__,
    "method of a fraction": lambda by: Fraction(by).limit_denominator,
    "built in": lambda by: torch.relu if by == 1 else torch.sigmoid,
    "set of fractions": lambda by: {Fraction(by), Fraction(3), Fraction(5)},
    "fraction in a fraction's place": lambda by: functools.partial(pow, Fraction(by)),
    "polynomial": lambda by: np.poly1d([by]),
    "vectorised": lambda by: np.vectorize(remembering(by)),
    "type of numpy": lambda by: np.dtype("f4" if by == 1 else "f8"),
    "numpy generator": lambda by: np.random.default_rng(int(by * 8)),
    "torch generator": lambda by: seeded(torch.Generator(), by),
    "distribution": lambda by: torch.distributions.Normal(by, 1.0),
    "dataset": lambda by: torch.utils.data.TensorDataset(torch.tensor([by])),
    "optimizer": lambda by: torch.optim.SGD([torch.zeros(1)], lr=by),
    "picture": lambda by: Image.new("L", (1, 1), int(by * 8)),
    "private slot": Secret,
    "property that is computed once": lambda by: type(
        "Kind", (), {"p": functools.cached_property(remembering(by)), "__module__": "theirs"}
    ),
}


@pytest.mark.parametrize("kind", LIBRARY)
def test_values_of_libraries_count(kind):
    first, again, other = (network_digest(holding(LIBRARY[kind](by))) for by in (1.0, 1.0, 0.5))
    assert first == again
    assert first != other


def holding(value):
    net = nn.Flatten()
    net.value = value
    return net


PROCESS_BOUND = {
    "lock": threading.Lock,
    "thread": threading.Thread,
    "counter": itertools.count,
    "logger": lambda: logging.getLogger(str(next(NUMBERS))),
    "generator that the machine seeded": np.random.default_rng,
    "its source": np.random.PCG64,
    "old numpy generator": np.random.RandomState,
    "python generator": random.Random,
    "generator of the process": lambda: random.random,
    "handle of a hook": lambda: nn.Flatten().register_forward_hook(print),
    "iterator": lambda: iter([next(NUMBERS)]),
}
NUMBERS = itertools.count()


@pytest.mark.parametrize("kind", PROCESS_BOUND)
def test_what_belongs_to_the_process_does_not_count(kind):
    first = network_digest(holding(PROCESS_BOUND[kind]()))
    random.random()  # moves the generator of the process on
    assert network_digest(holding(PROCESS_BOUND[kind]())) == first


def test_a_distribution_is_the_same_after_its_use():
    net = holding(torch.distributions.Categorical(probs=torch.tensor([0.25, 0.75])))
    before = network_digest(net)
    assert net.value.logits is not None
    assert network_digest(net) == before


class Endless(Fraction):
    """Consists of another one of its kind, which it makes when it is asked."""

    __slots__ = ()
    __module__ = "fractions"

    def __reduce_ex__(self, _protocol):
        return Endless, (Endless(1),), [Endless(1)]


@pytest.mark.thorough
def test_objects_without_end_are_given_up():
    assert network_digest(holding(Endless(1)))


IN_A_NEW_PROCESS = """
from tests.robench.model.test_fingerprint import LIBRARY, holding, network_digest
print([network_digest(holding(make(0.5))).hex() for make in LIBRARY.values()])
"""


@pytest.mark.thorough
def test_values_of_libraries_are_told_alike_in_each_process():
    answers = {
        subprocess.run(
            [sys.executable, "-c", IN_A_NEW_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
