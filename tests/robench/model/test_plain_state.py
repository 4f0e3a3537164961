"""What a module keeps in Python's containers and in arrays of numpy is afterwards what it was."""

from collections import Counter, OrderedDict, defaultdict, deque

import numpy as np
import pytest
import torch
from torch import nn

from robench.model.evaluation import evaluation_mode


def clear_and_add(value):
    value.clear()
    value["b"] = 2


def ring():
    value = [1]
    value.append(value)
    return value


CHANGES = {
    "array": (lambda: np.ones(3, np.float32), lambda v: v.__imul__(0.9)),
    "negative zero": (lambda: np.zeros(3), lambda v: v.__imul__(-1)),
    "list": (lambda: [0, "a"], lambda v: v.append(1)),
    "entry of a list": (lambda: [0, "a"], lambda v: v.__setitem__(0, 1)),
    "list in a dict": (lambda: {"a": [1]}, lambda v: v["a"].append(2)),
    "dict": (lambda: {"a": 1}, clear_and_add),
    "ordered dict": (lambda: OrderedDict(a=1, b=2), lambda v: v.move_to_end("a")),
    "default dict": (lambda: defaultdict(int), lambda v: v["a"]),
    "counter": (lambda: Counter("aab"), lambda v: v.update("c")),
    "deque": (lambda: deque([1, 2], maxlen=2), lambda v: v.append(3)),
    "set": (lambda: {1, 2}, lambda v: v.add(3)),
    "bytes": (lambda: bytearray(b"abc"), lambda v: v.reverse()),
    "tensor in a list": (lambda: [torch.zeros(3)], lambda v: v[0].add_(1)),
    "tensor in a tuple": (lambda: (torch.zeros(3),), lambda v: v[0].add_(1)),
    "array in a tuple": (lambda: (np.zeros(3),), lambda v: v[0].__iadd__(1)),
    "ring": (ring, lambda v: v.append(1)),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("key", ["kept", "_kept"])
def test_what_is_changed_is_put_back(kind, key):
    make, change = CHANGES[kind]

    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            setattr(self, key, make())

    net = Keeps()
    value = getattr(net, key)
    before, order = text(value), text(make())
    assert before == order
    with evaluation_mode(nn.Sequential(net)):
        change(value)
        assert text(value) != before
    assert getattr(net, key) is value
    assert text(value) == before


def text(value):
    """What the value shows: its type, its order, its signs."""
    return repr(value)


def test_what_is_very_large_is_left_alone():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.large, self.small = [0] * 20_000, [0]

    net = Keeps()
    with evaluation_mode(net):
        net.large[0] = net.small[0] = 1
    assert net.large[0] == 1
    assert net.small == [0]
