"""Extra state of modules and versions of their classes reach the network as torch hands them over."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model_zoo.checkpoints import loading as checkpoints
from model_zoo.checkpoints.saving import save
from model_zoo.network import Network
from robench.errors import CheckpointError


class Shifted(nn.Linear):
    """Keeps a part of its function in its extra state."""

    def __init__(self, state=None):
        super().__init__(3, 2)
        self.state = state

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state


class Turned(nn.Linear):
    """Version 2 has its outputs in the other order."""

    _version = 2

    def _load_from_state_dict(self, state, prefix, metadata, *args):
        if (metadata.get("version") or 1) < 2:
            for name in ("weight", "bias"):
                state[prefix + name] = state[prefix + name].flip(0)
        super()._load_from_state_dict(state, prefix, metadata, *args)


def inside(part):
    return nn.Sequential(nn.Linear(3, 3), part)


PLAIN = {"shift": 0.5, "order": [1, 0], "name": "a", "on": True, "none": None, "pair": (1, 2j)}


@pytest.mark.parametrize("make", [lambda part: part, inside])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
@pytest.mark.parametrize("wrap", [None, "state_dict"])
def test_extra_state_reaches_its_module(tmp_path, make, prefix, wrap):
    content = {prefix + name: value for name, value in make(Shifted(PLAIN)).state_dict().items()}
    torch.save({wrap: content, "epoch": 1} if wrap else content, tmp_path / "m.pt")
    net = make(Shifted())
    facts = []
    checkpoints.load(net, tmp_path / "m.pt", remarks=facts.append)
    assert [*net.modules()][-1].state == PLAIN
    assert "not tensors: _extra" not in str(facts)


@pytest.mark.parametrize("name", ["m.pt", "m.safetensors"])
def test_extra_state_that_is_a_tensor_may_have_another_shape(tmp_path, name):
    state = Shifted(torch.arange(5)).state_dict()
    (save_file if name.endswith("rs") else torch.save)(state, tmp_path / name)
    net = Shifted(torch.zeros(1))
    checkpoints.load(net, tmp_path / name)
    assert net.state.tolist() == [0, 1, 2, 3, 4]


def test_a_network_of_extra_state_alone(tmp_path):
    class Alone(nn.Module):
        state = 1

        def get_extra_state(self):
            return self.state

        def set_extra_state(self, state):
            self.state = state

    torch.save({"_extra_state": 7}, tmp_path / "m.pt")
    net = Alone()
    checkpoints.load(net, tmp_path / "m.pt")
    assert net.state == 7


def test_extra_state_that_is_missing_not_wanted_or_no_plain_data_is_refused(tmp_path):
    plain = nn.Linear(3, 2)
    torch.save(plain.state_dict(), tmp_path / "without.pt")
    with pytest.raises(CheckpointError, match=r"missing keys: _extra_state\. Save it with torch\.save"):
        checkpoints.load(Shifted(), tmp_path / "without.pt")
    torch.save(Shifted(PLAIN).state_dict(), tmp_path / "with.pt")
    with pytest.raises(CheckpointError, match="unexpected keys: _extra_state"):
        checkpoints.load(plain, tmp_path / "with.pt")
    cyclic = []
    cyclic.append(cyclic)
    pairs = [torch.zeros(1)]
    for _ in range(60):
        pairs = [pairs, pairs]
    for number, value in enumerate(({"a": np.float64(1)}, b"pickled", [[b"pickled"]], cyclic, pairs)):
        path = tmp_path / f"{number}.pt"
        torch.save({**plain.state_dict(), "_extra_state": value}, path)
        net = Shifted("own")
        with pytest.raises(CheckpointError, match="extra state that is not plain data: _extra_state"):
            checkpoints.load(net, path)
        assert net.state == "own"


def test_a_refused_extra_state_leaves_the_network_as_it_was(tmp_path):
    class Picky(Shifted):
        def set_extra_state(self, state):
            super().set_extra_state(state)
            if state == "bad":
                raise ValueError("not this one")

    torch.save(Shifted("bad").state_dict(), tmp_path / "m.pt")
    net = Picky("own")
    weight = net.weight.detach().clone()
    with pytest.raises(CheckpointError, match="not this one"):
        checkpoints.load(net, tmp_path / "m.pt")
    assert net.state == "own"
    assert torch.equal(net.weight, weight)


def test_same_tensors_with_another_extra_state_are_others_that_fit(tmp_path):
    state = Shifted(1).state_dict()
    torch.save({"model": state, "net": {**state, "_extra_state": 2}}, tmp_path / "m.pt")
    net, facts = Shifted(), []
    checkpoints.load(net, tmp_path / "m.pt", remarks=facts.append)
    assert net.state == 2
    assert "`key: model`" in facts[0]["checkpoint_notes"][0]


def old(make, prefix=""):
    """Return weights of version 1, under a prefix, and the network that torch makes of them."""
    state = make(Turned(3, 2)).state_dict()
    for entry in state._metadata.values():
        entry["version"] = 1
    right = make(Turned(3, 2))
    right.load_state_dict(state)
    content = type(state)((prefix + name, value) for name, value in state.items())
    content._metadata = {f"{prefix}{name}".removesuffix("."): v for name, v in state._metadata.items()}
    return content, right


@pytest.mark.parametrize("make", [lambda part: part, inside])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
@pytest.mark.parametrize("key", [None, "net", "net.model"])
def test_the_versions_of_a_file_reach_the_network(tmp_path, make, prefix, key):
    content, right = old(make, prefix)
    if key == "net.model" and prefix != "model.":
        key = "net"
    torch.save({"net": content} if key else content, tmp_path / "m.pt")
    net = make(Turned(3, 2))
    checkpoints.load(net, tmp_path / "m.pt", key=key)
    x = torch.rand(4, 3)
    assert torch.equal(net(x), right(x))


def test_the_versions_of_a_backbone_and_of_parts_reach_ours(tmp_path):
    def backbone():
        part = inside(Turned(3, 2))
        part.feature_dim = 2
        return part

    content, right = old(inside)
    head = nn.Linear(2, 2)
    plain = {**content, "linear.weight": head.weight, "linear.bias": head.bias}
    state = type(content)(plain)
    state._metadata = content._metadata
    torch.save(state, tmp_path / "m.pt")
    net = Network(backbone(), classes=2)
    checkpoints.load(net, tmp_path / "m.pt")
    x = torch.rand(4, 3)
    assert torch.equal(net.backbone(x), right(x))
    first, _ = old(lambda part: part)
    torch.save({"0": nn.Linear(3, 3).state_dict(), "1": first}, tmp_path / "parts.pt")
    other = inside(Turned(3, 2))
    checkpoints.load(other, tmp_path / "parts.pt")
    assert torch.equal(other[1].weight, first["weight"].flip(0))


def test_a_file_without_versions_is_loaded_as_torch_does_and_ours_comes_back_as_it_was(tmp_path):
    source, net = Turned(3, 2), Turned(3, 2)
    torch.save(dict(source.state_dict()), tmp_path / "m.pt")
    checkpoints.load(net, tmp_path / "m.pt")
    assert torch.equal(net.weight, source.weight.flip(0))
    save(source, tmp_path / "m.safetensors")
    facts = []
    checkpoints.load(net, tmp_path / "m.safetensors", remarks=facts.append)
    assert torch.equal(net.weight, source.weight)
    assert "has no versions of modules" in facts[0]["checkpoint_notes"][0]
    assert "Turned 2" in facts[0]["checkpoint_notes"][0]


def test_a_module_that_demands_a_version_is_taken_to_be_of_the_networks(tmp_path):
    class Demanding(nn.Linear):
        _version = 2

        def _load_from_state_dict(self, state, prefix, metadata, *args):
            if metadata.get("version") not in (1, 2):
                raise ValueError("which version?")
            super()._load_from_state_dict(state, prefix, metadata, *args)

    source, net = Demanding(3, 2), Demanding(3, 2)
    torch.save(dict(source.state_dict()), tmp_path / "m.pt")
    facts = []
    checkpoints.load(net, tmp_path / "m.pt", remarks=facts.append)
    assert torch.equal(net.weight, source.weight)
    assert "Demanding 2" in facts[0]["checkpoint_notes"][0]


@pytest.mark.parametrize(
    "malformed", [3, [1], {"": 3}, {"": {"version": "1"}}, {1: {"version": 1}}, {"": {"version": 1.5}}]
)
def test_malformed_versions_are_ignored_and_said(tmp_path, malformed):
    state = nn.BatchNorm1d(2).state_dict()
    state._metadata = malformed
    torch.save(state, tmp_path / "m.pt")
    facts = []
    checkpoints.load(nn.BatchNorm1d(2), tmp_path / "m.pt", remarks=facts.append)
    assert "not in PyTorch's format" in facts[0]["checkpoint_notes"][0]


def test_names_with_an_underscore_are_not_hidden(tmp_path):
    torch.save({**nn.Linear(3, 2).state_dict(), "_note": "a"}, tmp_path / "m.pt")
    facts = []
    checkpoints.load(nn.Linear(3, 2), tmp_path / "m.pt", remarks=facts.append)
    assert facts[0]["checkpoint_notes"] == ["ignored entries that are not tensors: _note"]
