import errno
import hashlib
import os
import pickle

import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from model_zoo.catalog import RawPixels
from model_zoo.checkpoints import loading as checkpoints
from model_zoo.checkpoints.cards import card_path
from model_zoo.checkpoints.saving import save, sidecar_path
from model_zoo.network import Network
from robench.errors import CheckpointError, StorageError


def net(width=4):
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def same(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_round_trip_hash_sidecar_and_card(tmp_path):
    path = tmp_path / "deep" / "model.safetensors"
    first, second = net(), net()
    digest = save(first, path, card={"name": "a", "eps": 8 / 255, "list": (1, 2)})
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sidecar_path(path).read_text() == f"{digest}  model.safetensors\n"
    card = YAML(typ="safe").load((path.parent / "model.card.yaml").read_text())
    assert card == {
        "name": "a", "eps": 8 / 255, "list": [1, 2], "weights": "model.safetensors", "sha256": digest,
    }  # fmt: skip
    assert checkpoints.load(second, path, sha256=digest.upper()) == digest
    assert same(first, second)
    assert save(first, path) == digest
    assert len(list(path.parent.iterdir())) == 3


def test_tied_weights_and_odd_strides_can_be_saved(tmp_path):
    one = nn.Linear(3, 3)
    one.weight.data = one.weight.data.T
    twice = nn.Sequential(one, one)
    save(twice, tmp_path / "m.safetensors")
    fresh = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    checkpoints.load(fresh, tmp_path / "m.safetensors")
    assert same(twice, fresh)


@pytest.mark.parametrize("wrap", [None, "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_plain_state_dicts(tmp_path, wrap, prefix, zipped):
    first, second = net(), net()
    state = {prefix + key: value for key, value in first.state_dict().items()}
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / "m.pt",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    checkpoints.load(second, tmp_path / "m.pt")
    assert same(first, second)


@pytest.mark.parametrize("style", ["zip", "legacy", "bare", "bare2", "whole_model"])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path, style):
    trace, path = tmp_path / "touched", tmp_path / "evil.pt"
    payload = {**net().state_dict(), "x": Bomb(trace)}
    if style == "whole_model":
        torch.save(net(), path)
    elif style.startswith("bare"):
        path.write_bytes(pickle.dumps(payload, protocol=2 if style == "bare2" else 4))
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=style == "zip")
    network = net()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    expected = "torch.nn.modules" if style == "whole_model" else r"io\.open|_io\.open"
    with pytest.raises(CheckpointError, match=expected):
        checkpoints.load(network, path)
    assert not trace.exists()
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in before.items())


def test_a_pickle_called_safetensors_is_not_unpickled(tmp_path):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "touched")))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.load(net(), path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("kind", ["safetensors", "pt", "legacy"])
def test_truncation_is_caught_without_any_hash(tmp_path, kind):
    path = tmp_path / ("m.safetensors" if kind == "safetensors" else "m.pt")
    if kind == "safetensors":
        save(net(), path)
        sidecar_path(path).unlink()
    else:
        torch.save(net().state_dict(), path, _use_new_zipfile_serialization=kind == "pt")
    data = path.read_bytes()
    for share in (0, 0.001, 0.1, 0.3, 0.7, 0.999):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(CheckpointError, match="damaged"):
            checkpoints.load(net(), path)


def test_every_flipped_bit_is_caught_by_the_sidecar(tmp_path):
    path = tmp_path / "m.safetensors"
    save(net(), path)
    data = path.read_bytes()
    for place in range(0, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        with pytest.raises(CheckpointError, match="SHA-256"):
            checkpoints.load(net(), path)


@pytest.mark.thorough
def test_flipped_bytes_of_a_pickle_never_escape_as_another_error(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(net().state_dict(), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    refusals = 0
    for place in range(0, len(data), 11):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            checkpoints.load(net(), path)
        except CheckpointError:  # a flip inside the numbers cannot be seen without a hash
            refusals += 1
    assert refusals > 10


def test_a_file_of_another_kind_is_told_without_the_advice_to_run_its_code(tmp_path):
    (tmp_path / "net.pt").write_text("from torch import nn\n\nnet = nn.Linear(2, 2)\n")
    with pytest.raises(CheckpointError, match=r"got a damaged or foreign file\. Copy or") as refusal:
        checkpoints.load(nn.Linear(2, 2), tmp_path / "net.pt")
    assert "weights_only" not in str(refusal.value)


def test_missing_file_and_wrong_hash(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoints.load(net(), tmp_path / "none.pt")
    path = tmp_path / "m.pt"
    torch.save(net().state_dict(), path)
    with pytest.raises(CheckpointError, match="as the configuration says"):
        checkpoints.load(net(), path, sha256="0" * 64)


def test_keys_and_shapes_are_listed(tmp_path):
    path = tmp_path / "m.pt"
    state = net(5).state_dict()
    state["renamed.weight"] = state.pop("2.bias")
    torch.save(state, path)
    network = net()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        checkpoints.load(network, path)
    message = str(error.value)
    assert "missing keys: 2.bias" in message
    assert "unexpected keys: renamed.weight" in message
    assert "0.weight (5, 3) instead of (4, 3)" in message
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in before.items())


def test_a_long_list_of_keys_does_not_hide_the_advice(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({f"layer{number}.weight": torch.zeros(2) for number in range(40)}, path)
    with pytest.raises(CheckpointError) as error:
        checkpoints.load(net(), path)
    message = str(error.value).removeprefix(str(path))
    assert (
        "unexpected keys: layer0.weight, layer1.weight, layer2.weight and 37 more. Check architecture"
        in message
    )
    assert len(message) < 300


def test_the_card_says_which_architecture_the_weights_are_of_and_nothing_is_said_to_be_filled_in(
    tmp_path, caplog
):
    path = tmp_path / "m.safetensors"
    card = {"architecture": {"name": "digits_cnn", "options": {}}, "buffer": None, "shape": [1, 8, 8]}
    save(net(), path, card=card | {"classes": 10})
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    hint = r"by its card digits_cnn, buffer None, shape \[1, 8, 8\], classes 10"
    with pytest.raises(CheckpointError, match=hint) as error:
        checkpoints.load(other, path)
    assert error.value.exit_code == 2
    assert caplog.records == []
    card_path(path).write_text("[no, card]")
    with pytest.raises(CheckpointError, match=r"it was trained with\.$"):
        checkpoints.load(other, path)


@pytest.mark.parametrize("content", [{}, [1, 2], 3, {"a": 1}, {"state_dict": {"a": "text"}}])
def test_files_that_hold_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="state_dict of tensors"):
        checkpoints.load(net(), tmp_path / "m.pt")


def test_weights_for_another_normalisation_are_refused(tmp_path):
    def made(mean):
        backbone = RawPixels()(channels=1, size=(2, 2), classes=2)
        return Network(backbone, classes=2, normalize=((mean,), (1.0,)))

    save(made(0.5), tmp_path / "m.safetensors")
    checkpoints.load(made(0.5), tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="normalisation mean"):
        checkpoints.load(made(0.25), tmp_path / "m.safetensors")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_intact(tmp_path, monkeypatch, step):
    path, old = tmp_path / "m.safetensors", net()
    save(old, path, card={"name": "old"})

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(StorageError, match="No space left"):
            save(net(), path, card={"name": "new"})
    fresh = net()
    checkpoints.load(fresh, path)
    assert same(old, fresh)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith("tmp")]


def test_saving_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        save(net(), tmp_path / "file" / "m.safetensors")
