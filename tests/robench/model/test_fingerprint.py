"""Every number in a network counts, wherever it is kept; nothing else does."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

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
