"""Checkpoints that are damaged, hostile or of another network end a run before it begins; no code is run."""

import hashlib
import pickle

import pytest
import torch

from model_zoo.checkpoints.saving import save
from tests.faults.plans import CONFIGURATION, network, refused, run


class Touch:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def weights(folder, name="weights.pt", state=None, **options):
    torch.manual_seed(0)
    torch.save(network().state_dict() if state is None else state, folder / name, **options)
    return folder / name


@pytest.mark.thorough
def test_the_plan_runs_with_a_checkpoint_as_it_should_be(tmp_path, monkeypatch):
    weights(tmp_path)
    answer = run(tmp_path, monkeypatch)
    assert answer.exit_code == 0, answer.output


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path, monkeypatch, name, share):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save(network(), path)
        path.with_name(path.name + ".sha256").unlink()
    else:
        weights(tmp_path, name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(run(tmp_path, monkeypatch), tmp_path, name)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_refused_by_the_hash_beside_the_file(tmp_path, monkeypatch):
    save(network(), tmp_path / "weights.safetensors")
    flip(tmp_path / "weights.safetensors")
    refused(run(tmp_path, monkeypatch), tmp_path, "SHA-256", "weights.safetensors.sha256 says")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_flipped_bit_is_refused_by_the_hash_in_the_configuration(tmp_path, monkeypatch, name):
    if name.endswith("pt"):
        weights(tmp_path)
    else:
        save(network(), tmp_path / name)
        (tmp_path / f"{name}.sha256").unlink()
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    flip(tmp_path / name)
    configuration = CONFIGURATION.replace("checkpoint: WEIGHTS", f"checkpoint: WEIGHTS, sha256: {digest}")
    answer = run(tmp_path, monkeypatch, configuration=configuration)
    refused(answer, tmp_path, "as the configuration says")


@pytest.mark.parametrize(
    "style", ["archive", "old format", "bare pickle", "called safetensors", "beside weights"]
)
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, style):
    trace, path = tmp_path / "touched", tmp_path / "weights.pt"
    match style:
        case "archive":
            torch.save(Touch(trace), path)
        case "old format":
            torch.save(Touch(trace), path, _use_new_zipfile_serialization=False)
        case "bare pickle":
            path.write_bytes(pickle.dumps(Touch(trace)))
        case "called safetensors":
            (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(Touch(trace)))
        case "beside weights":
            torch.save({"state_dict": network().state_dict(), "args": Touch(trace)}, path)
    refused(run(tmp_path, monkeypatch), tmp_path)
    assert not trace.exists()


def renamed(state):
    state["layer.weight"] = state.pop("linear.weight")
    return ["missing keys: linear.weight", "unexpected keys: layer.weight"]


def without(state):
    del state["linear.bias"]
    return ["missing keys: linear.bias"]


def extra(state):
    state["attention.weight"] = torch.zeros(3, 3)
    return ["unexpected keys: attention.weight"]


def resized(state):
    state["linear.weight"] = torch.zeros(7, state["linear.weight"].shape[1])
    return ["wrong shapes: linear.weight (7,", "instead of (10,"]


def transposed(state):
    state["linear.weight"] = state["linear.weight"].T.contiguous()
    return ["wrong shapes: linear.weight"]


@pytest.mark.parametrize("change", [renamed, without, extra, resized, transposed])
def test_weights_of_another_network_are_refused_with_their_names_and_shapes(tmp_path, monkeypatch, change):
    state = network().state_dict()
    words = change(state)
    weights(tmp_path, state=state)
    refused(run(tmp_path, monkeypatch), tmp_path, *words, "Check architecture")


def test_an_absent_checkpoint_is_refused(tmp_path, monkeypatch):
    configuration = CONFIGURATION.replace("WEIGHTS", "absent.pt")
    refused(
        run(tmp_path, monkeypatch, configuration=configuration),
        tmp_path,
        "absent.pt",
        "starts at the configuration file's folder",
    )
