"""Files of weights, made by hand byte by byte: what is read, and as what anything else is refused."""

import argparse
import collections
import io
import pathlib
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from model_zoo.checkpoints.untrusted_weights import (
    STAND_INS,
    Inert,
    InertArray,
    InertMapping,
    enumeration,
    is_safetensors,
    read,
    read_safetensors,
    read_torch,
)
from robench.errors import CheckpointError

TENSORS = {"b": torch.tensor([1.0, 2.0]), "a": torch.tensor([[3]])}


class Touch:
    """Would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def saved(contents, **options):
    file = io.BytesIO()
    torch.save(contents, file, **options)
    return file.getvalue()


def archive(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as whole:
        for name in names:
            whole.writestr(name, b"x")
    return file.getvalue()


def refusal(data, **options):
    with pytest.raises(CheckpointError) as error:
        read(data, **{"safetensors_only": False, "where": "FILE", **options})
    assert error.value.where == "FILE"
    return str(error.value)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_files_of_torch_are_read_old_and_new(options):
    assert same(read(saved(TENSORS, **options), safetensors_only=False, where=""), TENSORS)


def test_a_safetensors_file_is_known_by_its_bytes_and_read_in_order():
    data = safetensors.torch.save(TENSORS)
    assert is_safetensors(data)
    assert not any(map(is_safetensors, (saved(TENSORS), b"", b'{"a"', bytes(8), bytes(8) + b"{}")))
    assert [*read(data, safetensors_only=False, where="")] == ["a", "b"]
    assert same(read_safetensors(data, where=""), TENSORS)


@pytest.mark.parametrize("cut", [-1, 20, 9])
def test_a_cut_safetensors_file_is_refused(cut):
    assert "a whole safetensors file" in refusal(safetensors.torch.save(TENSORS)[:cut], safetensors_only=True)


def test_a_name_that_promises_safetensors_is_believed():
    assert "a whole safetensors file" in refusal(saved(TENSORS), safetensors_only=True)


@pytest.mark.parametrize(
    ("data", "kind", "advice"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS", "git lfs pull"),
        (b"\n  <!DOCTYPE html><html>", "a web page", "Download"),
        (b"<HTML>", "a web page", "Download"),
        (b"\x89HDF\r\n\x1a\n", "HDF5", "torch.save"),
        (b"\x93NUMPY\x01\x00", "numpy array", "from_numpy"),
        (b"\x1f\x8b\x08", "gzip", "Unpack"),
        (b"BZh9", "bzip2", "Unpack"),
        (b"\xfd7zXZ\x00", "xz", "Unpack"),
        (archive("m/constants.pkl", "m/data.pkl"), "TorchScript", "state_dict"),
        (archive("m/serialized_exported_program.json"), "exported program", "torch.export"),
        (archive("a.npy", "b.npy"), "numpy arrays (.npz)", "from_numpy"),
        (archive("readme.txt", "a.npy"), "zip archive of other files", "Unpack"),
    ],
)
def test_a_file_of_another_kind_is_named(data, kind, advice):
    message = refusal(data)
    assert kind in message
    assert advice in message


@pytest.mark.parametrize("data", [b"", b"\x80", b"junk" * 30, saved(TENSORS)[:-40], bytes(100)])
def test_what_is_no_file_of_weights_is_called_damaged(data):
    assert "a damaged or foreign file" in refusal(data)


def test_settings_beside_the_weights_become_things_that_keep_nothing():
    settings = {
        "args": argparse.Namespace(lr=0.1), "path": pathlib.PurePosixPath("a/b"), "number": np.float64(2.0),
        "array": np.arange(3), "counts": collections.defaultdict(list, {"x": TENSORS["b"]}),
    }  # fmt: skip
    contents = read_torch(saved({**TENSORS, **settings}), where="")
    assert same({name: contents[name] for name in TENSORS}, TENSORS)
    assert {name: type(contents[name]) for name in ("args", "path", "number", "array")} == {
        "args": Inert, "path": Inert, "number": Inert, "array": InertArray,
    }  # fmt: skip
    assert not any(vars(contents[name]) for name in ("args", "path", "number", "array"))
    assert dict(contents["counts"]) == {"x": contents["counts"]["x"]}  # a mapping keeps its tensors


def test_stand_ins_call_and_import_nothing():
    assert set(STAND_INS.values()) == {Inert, InertArray, InertMapping}
    assert vars(Inert(1, 2, 3)) == {}
    assert InertMapping(open, "x") == {}


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_code_in_a_file_is_named_and_never_run(tmp_path, options):
    path = tmp_path / "made"
    message = refusal(saved({"a": TENSORS["a"], "x": Touch(path)}, **options))
    assert "a pickle that asks for" in message
    assert "open" in message
    assert "Do not open it elsewhere" in message
    assert not path.exists()


def test_a_whole_network_is_told_from_other_code():
    message = refusal(saved(torch.nn.Sequential(torch.nn.Linear(1, 1))))
    assert "a whole pickled network, which asks for torch.nn.modules." in message
    assert "network.state_dict()" in message


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "value", [torch.eye(2).to_sparse(), bytearray(4)], ids=["a sparse tensor", "a bytearray"]
)
def test_names_that_torch_allows_and_weights_do_not_need_are_refused(value, protocol):
    message = refusal(saved({"a": value}, pickle_protocol=protocol))
    assert "a pickle that asks for" in message
    assert "Save plain tensors" in message


def test_a_pickle_newer_than_the_reader_is_told_from_a_damaged_one():
    data = saved({"a": [1.5]}, pickle_protocol=4)
    assert "a pickle of a protocol that the safe reader does not know" in refusal(data)
    assert "a damaged or foreign file" in refusal(pickle.dumps({"a": 1}, protocol=2)[:-3])


@pytest.mark.parametrize(
    ("names", "text"),
    [("a", "a"), ("abcdef", "a, b, c, d, e, f"), ("abcdefg", "a, b, c, d, e, f and 1 more")],
)
def test_long_lists_of_names_are_cut(names, text):
    assert enumeration(list(names)) == text
