"""Files of weights of every kind that is read, small and valid, and what hostile ones are made of."""

import io
import json
import struct
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes
from torch import nn

from defenses.training.training_state import TrainingState, load_state, save_state
from model_zoo.checkpoints import loading
from model_zoo.checkpoints.cards import card_path, card_text, described, remarks_of
from tests.faults.fuzz.data_files import STEPS
from tests.faults.fuzz.mutations import damaged, programs


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def state():
    torch.manual_seed(0)
    return network().state_dict()


def torch_bytes(content, **options):
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


WRAPPED = {"state_dict": state(), "epoch": 3, "opt": {"param_groups": [{"lr": 0.1}]}, "list": [1, (2, 3)]}
PT = (
    torch_bytes(state()),
    torch_bytes(WRAPPED),
    torch_bytes({"net": {f"module.{k}": v for k, v in state().items()}}),
)
OLD_PT = tuple(torch_bytes(c, _use_new_zipfile_serialization=False) for c in (state(), WRAPPED))
TORCH_STEPS = [
    *STEPS,
    b"ccollections\nOrderedDict\n",
    b"ccollections\nCounter\n",
    b"c__builtin__\nset\n",
    b"ctorch\nSize\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._utils\n_rebuild_qtensor\n",
    b"ctorch._utils\n_rebuild_sparse_tensor\n",
    b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nfloat32\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n",
    b"ctorch\nTensor\n",
    b"ctorch\ndevice\n",
    b"ctorch\nFloatTensor\n",
    b"c__builtin__\nbytearray\n",
    b"X\x07\x00\x00\x00storage",
    b"X\x01\x00\x00\x000",
    b"X\x03\x00\x00\x00cpu",
    b"\x81",
    b"\x8f",
    b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQK\x00",
    b"X\x08\x00\x00\x000.weight",
    b"X\x06\x00\x00\x000.bias",
    b"cargparse\nNamespace\n",
    b"cpathlib\nPosixPath\n",
    b"G?\xf0\0\0\0\0\0\0",
]


@st.composite
def torch_archives(draw):
    """Draw an archive as torch writes it, around any pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(PT[0])) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            program = draw(
                st.one_of(
                    programs(TORCH_STEPS, most=60), damaged((old.read("archive/data.pkl"),), TORCH_STEPS)
                )
            )
            new.writestr(name, program if name.endswith("data.pkl") else old.read(name))
    return stream.getvalue()


@st.composite
def strided(draw):
    """Draw a checkpoint of tensors with any sizes and strides on few numbers, under the network's names."""
    content = OrderedDict()
    for name in draw(
        st.lists(
            st.sampled_from(
                [*state(), "0.weight_g", "0.weight_v", "0.weight_mask", "0.weight_orig", "mu", "sigma"]
            )
        )
    ):
        size = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 1000, 10**6]), min_size=1, max_size=3)))
        kind = draw(
            st.sampled_from(["expanded", "meta", "sparse", "complex", "int", "half", "nan", "quantised"])
        )
        match kind:
            case "expanded":
                content[name] = torch.zeros(1).expand(size)
            case "meta":
                content[name] = torch.empty(size, device="meta")
            case _ if np.prod(size, dtype=float) > 1e6:
                content[name] = torch.zeros((1,) * len(size)).expand(size)
            case "sparse":
                content[name] = torch.zeros(size).to_sparse()
            case "quantised":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    content[name] = torch.quantize_per_tensor(torch.zeros(size), 0.1, 0, torch.qint8)
            case "nan":
                content[name] = torch.full(size, float("nan"))
            case other:
                kinds = {"complex": torch.complex64, "int": torch.int64, "half": torch.float16}
                content[name] = torch.zeros(size, dtype=kinds[other])
    return torch_bytes(content, _use_new_zipfile_serialization=draw(st.booleans()))


def read_checkpoint(folder, data, name="m.pt"):
    path = folder / name
    path.write_bytes(data)
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    try:
        loading.load(net, path)
    except BaseException:
        assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
        raise
    assert {key: value.shape for key, value in net.state_dict().items()} == {
        k: v.shape for k, v in before.items()
    }


def read_safetensors(folder, data):
    read_checkpoint(folder, data, "m.safetensors")


SAFE = (safetensors_bytes(state()), safetensors_bytes(state(), {"format": "pt"}))
SAFE_TOKENS = [
    b'"dtype":"F32"',
    b'"F64"',
    b'"BOOL"',
    b'"data_offsets":[0,',
    b"[99999999999999999999]",
    b'"shape":[-1]',
    b"{" * 200,
    b"\0",
]


@st.composite
def safetensors_headers(draw):
    """Draw a file with a header of its own."""
    entry = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "U8", "x", 1]),
            "shape": st.lists(st.sampled_from([0, 1, 3, 4, -1, 2**40, 2**63]), max_size=4),
            "data_offsets": st.lists(st.sampled_from([0, 4, 48, -1, 2**40, 2**64]), max_size=3),
        }
    )
    names = st.sampled_from([*state(), "__metadata__", "", "a.b" * 50])
    head = json.dumps(draw(st.dictionaries(names, entry, max_size=5))).encode()
    length = draw(st.sampled_from([len(head), len(head), len(head), 0, 10**8, 2**63, len(head) + 8]))
    return struct.pack("<Q", length) + head + draw(st.binary(max_size=100))


CARD = card_text(
    {"architecture": {"name": "x"}, "buffer": 1, "shape": [1, 2], "held_out": {"accuracy": 0.5, "images": 9}}
)


def read_card(folder, pair):
    """A card beside a checkpoint is read or passed over; a hash is right or refused."""
    path = folder / "m.safetensors"
    card_path(path).write_bytes(pair[0])
    assert isinstance(described(path), str)
    assert remarks_of(path).get("checkpoint_card", {}).get("accuracy", 0) <= 1
    (folder / "m.safetensors.sha256").write_bytes(pair[1])
    read_safetensors(folder, SAFE[0])


def training_bytes():
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "s.pt"
        save_state(path, TrainingState(identity={"a": 1}, epoch=1, network=state(), optimizer={"state": {}}))
        return path.read_bytes()


TRAINING = (training_bytes(),)


def read_training(folder, data):
    path = folder / "state.pt"
    path.write_bytes(data)
    state = load_state(path, {"a": 1})
    assert state is None or state.identity == {"a": 1}
