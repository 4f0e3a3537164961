"""Weights in wrappers, under prefixes and beside others, against the network they were taken from."""

import argparse
import copy
import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim.swa_utils import AveragedModel

from model_zoo.checkpoints import loading as checkpoints
from robench.errors import CheckpointError, ConfigError
from robench.plan.weights_path import key_text, parse_key

X = torch.rand(5, 3, generator=torch.Generator().manual_seed(7))


def net(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        network(torch.rand(9, 3))
    return network.eval()


A, B, C = net(1), net(2), net(3)


def state(network, prefix=""):
    return {prefix + name: tensor for name, tensor in network.state_dict().items()}


def loaded(tmp_path, content, *, into=None, **options):
    """Return a network with other weights after it has loaded a file with this content."""
    path = tmp_path / "m.pt"
    torch.save(content, path)
    network = net(99) if into is None else into
    checkpoints.load(network, path, **options)
    return network.eval()


def same(one, other, x=X):
    return torch.equal(one(x), other(x))


def refused(tmp_path, content, match, **options):
    network = options.pop("into", None) or net(99)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(CheckpointError, match=match) as error:
        loaded(tmp_path, content, into=network, **options)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    return str(error.value)


LISTS = {"state_dict": [state(A), state(B), state(C)], "epoch": 4}


def test_a_list_of_sets_is_refused_and_a_key_chooses(tmp_path):
    refused(tmp_path, LISTS, r"three of them: choose one with `key: state_dict\[0\]`")
    refused(tmp_path, (state(A), state(B)), r"two of them: choose one with `key: \[0\]`")
    for position, network in enumerate((A, B, C)):
        assert same(loaded(tmp_path, LISTS, key=f"state_dict[{position}]"), network)
    content = [{"net": state(A)}, {"net": state(B)}]
    assert same(loaded(tmp_path, content, key="[1]"), B)
    assert same(loaded(tmp_path, content, key="[1].net"), B)
    optimizer = torch.optim.Adam(A.parameters()).state_dict()
    assert same(loaded(tmp_path, (state(A), optimizer, 3)), A)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"ema": {"module": state(A)}, "net": state(B)}, "ema.module"),
        ({"params": {"student": state(A), "teacher": state(B)}}, "params.student"),
        ({"net": state(A), "other": state(B)}, 'checkpoint["net"]'),
        ({"checkpoint": {"net": state(A)}, "net": state(B)}, 'checkpoint["net"]'),
        ({"a.b": state(A), "c": state(B)}, "a.b"),
        ({"a.b": state(A), "c": state(B)}, '["a.b"]'),
        ({0: state(B), 1: state(A)}, "[1]"),
        ({"state_dict": state(A, "one.") | state(B, "two.")}, "state_dict.one"),
        ({"grads": state(A), "net": state(B)}, "grads"),
    ],
)
def test_a_key_leads_anywhere(tmp_path, content, key):
    assert same(loaded(tmp_path, content, key=key), A)


def test_a_key_that_leads_nowhere_says_what_is_there(tmp_path):
    content = {"state_dict": state(A), "ema": {"module": state(B)}, "epoch": 3, "runs": [state(A), state(B)]}
    assert "Did you mean 'ema'?" in refused(tmp_path, content, "state_dict, ema, epoch, runs", key="emma")
    refused(tmp_path, content, "'modul', where there are module. Did you mean 'module'", key="ema.modul")
    refused(tmp_path, content, r"a list of 2, got \[7\]. Count from \[0\] to \[1\]", key="runs[7]")
    refused(tmp_path, content, "of type int", key="epoch.net")
    refused(tmp_path, content, "got int", key="epoch")
    for wrong in ("", ".net", "net..a", "net[", "net[-1]", "a b", "net[0]x"):
        with pytest.raises(ConfigError, match="path of names"):
            loaded(tmp_path, content, key=wrong)


@given(
    st.lists(
        st.one_of(st.integers(0, 10**9 - 1), st.text("abc.[]'_ ", min_size=1), st.text('x".', min_size=1)),
        min_size=1,
    )
)
def test_a_key_written_is_read_again(steps):
    assert parse_key(key_text(steps)) == tuple(steps)


PAIRS = [
    ("state_dict", "state_dict_ema"),
    ("model", "model_ema"),
    ("net", "ema"),
    ("best", "last"),
    ("generator", "discriminator"),
    ("student", "teacher"),
    ("anything", "something"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("flat", [False, True])
def test_of_two_sets_one_is_taken_and_the_other_is_told(tmp_path, caplog, first, second, flat):
    if flat and first in {"best", "generator", "anything"}:
        pytest.skip("not the name of a module")
    orders = [((first, A), (second, B)), ((second, B), (first, A))]
    for pairs in orders[: 1 if first in {"generator", "anything"} else 2]:
        caplog.clear()
        content = {name: state(network) for name, network in pairs}
        if flat:
            content = {k: v for name, network in pairs for k, v in state(network, f"{name}.").items()}
        facts = {}
        assert same(loaded(tmp_path, content, remarks=facts.update), A)
        assert f"took the weights under `{first}`" in caplog.text
        assert f"`key: {second}`" in caplog.text
        assert facts["checkpoint_key"] == first
        assert same(loaded(tmp_path, content, key=second), B)


def test_two_sets_that_are_one_are_not_told(tmp_path, caplog):
    facts = {}
    content = {"state_dict": state(A), "state_dict_ema": {k: v.clone() for k, v in state(A).items()}}
    assert same(loaded(tmp_path, content, remarks=facts.update), A)
    assert (caplog.text, facts) == ("", {})


def test_the_set_that_fits_is_taken_and_the_stranger_is_told(tmp_path, caplog):
    content = {"generator": nn.Linear(2, 9).state_dict(), "discriminator": state(A)}
    assert same(loaded(tmp_path, content), A)
    assert "ignored the weights under generator" in caplog.text


WRAPPERS = (
    "state_dict", "model_state_dict", "net", "model", "params", "weights", "state", "module", "network",
    "classifier_state", "model_state", "parameters", "whatever",
)  # fmt: skip
PREFIXES = (
    "module.",
    "model.",
    "net.",
    "_orig_mod.",
    "backbone.",
    "student.",
    "_fsdp_wrapped_module.",
    "mine.",
)


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(WRAPPERS), max_size=3),
    st.lists(st.sampled_from(PREFIXES), max_size=3),
    st.dictionaries(
        st.sampled_from(["epoch", "args", "optimizer", "acc", "rng"]),
        st.sampled_from(
            [3, None, "x", [1, 2], {"state": {0: {"exp_avg": torch.ones(4, 3)}}, "param_groups": []}]
        ),
    ),
    st.booleans(),
)
def test_any_wrapping_of_one_set_is_seen_through(tmp_path_factory, wrappers, prefixes, beside, scalars):
    content = state(A, "".join(prefixes)) | ({"epoch": 3, "best_acc": 0.5} if scalars else {})
    for wrapper in wrappers:
        content = {**beside, wrapper: content}
    assert same(loaded(tmp_path_factory.mktemp("any"), content), A)


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_lacks_something_or_has_more_is_refused(tmp_path_factory, data):
    content = state(A, data.draw(st.sampled_from(("", *PREFIXES))))
    names = [name for name in content if not name.endswith("num_batches_tracked")]
    name = data.draw(st.sampled_from(names))
    if data.draw(st.booleans()):
        del content[name]
    else:
        content[f"{name.rpartition('.')[0]}.extra"] = torch.ones(3)
    wrapper = data.draw(st.sampled_from(WRAPPERS))
    refused(tmp_path_factory.mktemp("some"), {wrapper: content}, "weights for this network")


@pytest.mark.parametrize("prefix", ["model.", "net.", "backbone.", "student."])
def test_lightning(tmp_path, caplog, prefix):
    optimizer = torch.optim.Adam(A.parameters())
    extra = {
        "criterion.weight": torch.ones(2),
        "loss.scale": torch.ones(()),
        "teacher.big.weight": torch.ones(3, 3),
    }
    content = {
        "state_dict": state(A, prefix) | extra,
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": {"lr": 0.1},
        "pytorch-lightning_version": "2.1.0",
        "callbacks": {},
    }
    assert same(loaded(tmp_path, content), A)
    for name in ("criterion.*", "loss.*", "teacher.*"):
        assert f"1 keys {name}" in caplog.text
    content["state_dict"]["projector.weight"] = torch.ones(3)
    message = refused(tmp_path, content, "unexpected keys: projector.weight")
    assert f"`key: state_dict.{prefix[:-1]}`" in message
    assert same(loaded(tmp_path, content, key=f"state_dict.{prefix[:-1]}"), A)


def test_averaged_model_and_data_parallel_parts(tmp_path, caplog):
    assert same(loaded(tmp_path, AveragedModel(A).state_dict()), A)
    assert "dropped n_averaged" in caplog.text

    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.classifier = net(5), nn.Linear(2, 2)

        def forward(self, x):
            return self.classifier(self.features(x))

    first = Parts().eval()
    content = {
        k.replace("features.", "features.module.").replace("classifier.", "classifier._orig_mod."): v
        for k, v in first.state_dict().items()
    }
    assert same(loaded(tmp_path, content, into=Parts()), first)
    apart = {"features": first.features.state_dict(), "classifier": first.classifier.state_dict()}
    assert same(loaded(tmp_path, apart, into=Parts()), first)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_said(tmp_path, caplog, kind):
    content = {k: v.to(kind) if v.is_floating_point() else v for k, v in state(A).items()}
    network = loaded(tmp_path, content)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, content[name].to(tensor.dtype))
    assert f"stored as {str(kind)[6:]} and used as float32" in caplog.text


@pytest.mark.parametrize("kind", [torch.int8, torch.bool, torch.complex64])
def test_other_kinds_of_number_are_refused(tmp_path, kind):
    refused(
        tmp_path, state(A) | {"0.weight": torch.ones(4, 3, dtype=kind)}, "wrong kinds of number: 0.weight"
    )


def test_numbers_that_are_none_are_said(tmp_path, caplog):
    content = state(A)
    content["0.weight"] = content["0.weight"].clone()
    content["0.weight"][1, 2] = float("nan")
    loaded(tmp_path, content)
    assert "not finite: 1 of 12 in 0.weight" in caplog.text


def test_settings_of_other_libraries_beside_weights_are_let_pass_and_not_made(tmp_path):
    content = {"net": state(A), "args": argparse.Namespace(lr=0.1), "acc": np.float64(3), "where": tmp_path,
               "table": np.ones(3)}  # fmt: skip
    assert same(loaded(tmp_path, content), A)


def test_numpy_arrays_are_named(tmp_path):
    arrays = {name: tensor.numpy() for name, tensor in state(A).items()}
    refused(tmp_path, arrays, r"numpy arrays under 0.weight.*torch\.from_numpy")
    refused(tmp_path, {"net": state(A) | {"0.weight": arrays["0.weight"]}}, r"numpy arrays under 0.weight")
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(CheckpointError, match="numpy arrays"):
        checkpoints.load(net(), tmp_path / "a.npz")


def test_metadata_beside_tensors_is_said(tmp_path, caplog):
    content = {**state(A), "epoch": 3, "acc": 0.5, "args": {"lr": 1}, "step": torch.tensor(4)}
    assert same(loaded(tmp_path, content), A)
    assert "dropped step: not part of the network" in caplog.text
    assert "ignored entries that are not tensors: epoch, acc, args" in caplog.text


def tied(seed):
    one = net(seed)[0].requires_grad_(True)
    middle = nn.Linear(4, 3)
    return nn.Sequential(one, middle, one)


def test_tied_weights(tmp_path):
    first = tied(1)
    whole = first.state_dict()
    for content in (whole, {k: v for k, v in whole.items() if not k.startswith("2.")}):
        assert same(loaded(tmp_path, content, into=tied(2)), first)
    refused(tmp_path, whole | {"2.weight": whole["2.weight"] + 1}, "one tensor in the network", into=tied(2))


def test_counters_of_batches(tmp_path, caplog):
    without = {k: v for k, v in state(A).items() if "num_batches" not in k}
    assert same(loaded(tmp_path, without), A)
    assert "filled in 1 x num_batches_tracked" in caplog.text

    class Plain(nn.BatchNorm1d):
        def __init__(self, width):
            super().__init__(width)
            del self._buffers["num_batches_tracked"]
            self.num_batches_tracked = None

    other = net(5)
    other[1] = Plain(4)
    assert same(loaded(tmp_path, state(A), into=other), A)
    assert "dropped 1 x num_batches_tracked" in caplog.text


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, parametrizations.weight_norm])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_weight_normalisation_is_put_together(tmp_path, norm, axis):
    first = net(1)
    norm(first[0], dim=axis)
    with torch.no_grad():
        first.state_dict()[next(n for n in first.state_dict() if n.endswith(("_g", "original0")))].mul_(1.7)
    assert same(loaded(tmp_path, first.state_dict()), first)
    for again in (nn.utils.weight_norm, parametrizations.weight_norm):
        other = net(4)
        again(other[0], dim=axis)
        assert same(loaded(tmp_path, first.state_dict(), into=other), first)


def test_pruned_weights_are_multiplied_with_their_masks(tmp_path):
    first = net(1)
    prune.random_unstructured(first[0], "weight", amount=0.5)
    first(X)
    assert same(loaded(tmp_path, first.state_dict()), first)


@pytest.mark.filterwarnings("ignore:.*quantize.*")
def test_what_cannot_be_put_together_is_named(tmp_path):
    spectral = net(1)
    parametrizations.spectral_norm(spectral[0])
    refused(tmp_path, spectral.state_dict(), "parametrized weights")
    parts = state(A) | {"0._packed_params._packed_params": torch.ones(3)}
    del parts["0.weight"]
    refused(tmp_path, parts, "quantised weights")
    integers = state(A) | {"0.weight": torch.quantize_per_tensor(A[0].weight.detach(), 0.1, 0, torch.qint8)}
    refused(tmp_path, integers, "quantised weights")
    refused(tmp_path, {"_flat_param": torch.ones(30)}, "FSDP")
    parametrize.remove_parametrizations(spectral[0], "weight")
    assert same(loaded(tmp_path, spectral.state_dict()), spectral)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_whole_networks_and_programs_are_named(tmp_path):
    refused(tmp_path, A, r"a whole pickled network.*torch\.save\(network\.state_dict\(\)")
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.trace(A, X), path)
    with pytest.raises(CheckpointError, match="TorchScript archive"):
        checkpoints.load(net(), path)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        (b"\x1f\x8b\x08" + bytes(50), "gzip"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, data, kind):
    (tmp_path / "m.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match=kind):
        checkpoints.load(net(), tmp_path / "m.pt")


@pytest.mark.parametrize("name", ["m.safetensors", "m.bin"])
def test_safetensors_have_parts_too_and_are_known_by_their_contents(tmp_path, name, caplog):
    save_file(state(A, "net.") | state(B, "ema."), tmp_path / name)
    network = net(9)
    checkpoints.load(network, tmp_path / name)
    assert same(network.eval(), A)
    assert "`key: ema`" in caplog.text
    checkpoints.load(network, tmp_path / name, key="ema")
    assert same(network.eval(), B)


def test_a_network_that_refuses_half_way_keeps_what_it_had(tmp_path):
    class Picky(nn.Linear):
        def _load_from_state_dict(self, *args, **options):
            super()._load_from_state_dict(*args, **options)
            raise KeyError("not these")

    refused(tmp_path, state(A), "not these", into=nn.Sequential(*list(net(9))[:3], Picky(4, 2)))


def test_a_mapping_within_itself_ends(tmp_path):
    content = {"net": state(A)}
    content["self"] = content
    assert same(loaded(tmp_path, content), A)


def test_only_own_names_if_asked(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert same(loaded(tmp_path, {"net": state(A)}, layouts=False), A)
    refused(tmp_path, {"net": state(A, "module.")}, "missing keys", layouts=False)


def test_a_normalisation_beside_the_weights_is_compared(tmp_path):
    content = {"net": state(A), "mean": torch.full((3,), 0.5), "std": torch.full((3,), 0.25)}
    refused(tmp_path, content, r"Set `normalize: \[\[0\.5")
    assert same(loaded(tmp_path, content, key="net"), A)
    assert same(loaded(tmp_path, content | {"mean": torch.zeros(3), "std": torch.ones(3)}), A)


@pytest.mark.thorough
def test_a_file_with_sets_without_end_is_refused(tmp_path):
    content = state(A)
    for _ in range(6):
        content = {f"part{i}": content for i in range(6)}
    refused(tmp_path, content, "few sets of weights")
    content = [[state(A)]]
    for _ in range(6):
        content = [content] * 30
    refused(tmp_path, content, "few sets of weights, got lists and mappings without end")


def test_a_list_of_one_set_three_times_is_a_list(tmp_path):
    refused(
        tmp_path, {"state_dict": [state(A)] * 3}, r"three of them: choose one with `key: state_dict\[0\]`"
    )
    one = state(A)
    refused(tmp_path, [one, one, one], r"three of them: choose one with `key: \[0\]`")
