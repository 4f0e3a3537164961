"""What fuzzing the readers has found, each as a plain test."""

import io
import warnings
import zipfile

import pytest
import torch
from torch import nn

from defenses.training.training_state import load_state
from model_zoo.checkpoints import loading
from model_zoo.datasets.mnist import read_idx
from robench.errors import CheckpointError, ConfigError, InputError, RobenchError
from robench.plan.config import SUITES, parse
from robench.plan.yaml_reader import read_text
from tests.faults.fuzz.checkpoint_files import TRAINING, network, torch_bytes


def load(tmp_path, state):
    torch.save(state, tmp_path / "m.pt")
    return loading.load(network(), tmp_path / "m.pt")


def test_empty_parts_of_weight_normalisation_do_not_end_the_process(tmp_path):
    # torch._weight_norm divides by the number of elements: a floating point exception, which is no exception.
    state = {"0.weight_g": torch.zeros(4, 1), "0.weight_v": torch.zeros(4, 0)}
    with pytest.raises(CheckpointError, match="weight_g"):
        load(tmp_path, state)
    network_of_nothing = nn.Sequential(nn.Linear(1, 4))
    torch.save({"0.weight_g": torch.zeros(0), "0.weight_v": torch.zeros(0, 3)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError):
        loading.load(network_of_nothing, tmp_path / "m.pt")


@pytest.mark.parametrize(
    "parts",
    [
        {"0.weight_orig": torch.empty(4, 3, device="meta"), "0.weight_mask": torch.ones(4, 3)},
        {"0.weight_orig": torch.ones(4, 3), "0.weight_mask": torch.empty(4, 3, device="meta")},
        {"0.weight_orig": torch.ones(4, 3), "0.weight_mask": torch.ones(4, 3, dtype=torch.complex64)},
        {"0.weight_v": torch.empty(4, 3, device="meta"), "0.weight_g": torch.ones(4, 1)},
        {
            "0.weight_v": torch.ones(4, 3, dtype=torch.int64),
            "0.weight_g": torch.ones(4, 1, dtype=torch.int64),
        },
        {"0.weight_v": torch.ones(4, 3), "0.weight_g": torch.ones(4, 1, dtype=torch.float64)},
        {"mu": torch.empty(3, device="meta"), "sigma": torch.empty(3, device="meta")},
        {"mean": torch.empty(3, device="meta"), "std": torch.ones(3)},
    ],
)
def test_parts_of_weights_that_cannot_be_computed_with_are_refused(tmp_path, parts):
    state = {name: tensor for name, tensor in network().state_dict().items() if name != "0.weight"}
    with pytest.raises(CheckpointError):
        load(tmp_path, state | parts)


@pytest.mark.parametrize("kind", ["quantised", "meta", "sizes that overflow"])
def test_tensors_of_no_numbers_beside_the_weights_are_refused_or_left_alone(tmp_path, kind):
    state = network().state_dict()
    match kind:
        case "meta":
            state["1.running_mean"] = torch.empty(4, device="meta")
        case "sizes that overflow":
            program = torch_bytes(state).replace(b"K\x04\x85", b"J\xff\xff\xff\x7f\x85")
            (tmp_path / "m.pt").write_bytes(program)
            with pytest.raises(CheckpointError):
                loading.load(network(), tmp_path / "m.pt")
            return
        case "quantised":
            state["1.running_mean"] = quantised(4)
    with pytest.raises(CheckpointError):
        load(tmp_path, state)


def quantised(size):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(size), 0.1, 0, torch.qint8)


@pytest.mark.parametrize("program", [b"0.", b"a.", b"h\x01.", b"e.", b"R.", b"b.", b"\x85.", b"u.", b"s."])
def test_a_training_state_whose_pickle_takes_from_an_empty_stack_is_refused(tmp_path, program):
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(TRAINING[0])) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"\x80\x02" + program if name.endswith("data.pkl") else old.read(name))
    (tmp_path / "s.pt").write_bytes(stream.getvalue())
    with pytest.raises(CheckpointError, match="Delete it"):
        load_state(tmp_path / "s.pt", {})


@pytest.mark.parametrize(
    "part",
    [
        {"epoch": "1"},
        {"epoch": -1},
        {"network": [1]},
        {"network": {"a": 1}},
        {"optimizer": 3},
        {"history": {}},
        {"history": [1]},
        {"best": 1},
        {"average": {"a": "b"}},
        {"averaged": None},
        {"score": "x"},
        {"objective": []},
        {"identity": "[]"},
    ],
)
def test_a_training_state_with_parts_of_another_kind_is_refused(tmp_path, part):
    whole = {
        "format": 1,
        "identity": "{}",
        "epoch": 1,
        "network": {},
        "optimizer": {},
        "history": [],
        "best": None,
        "score": 0.5,
        "average": {},
        "averaged": 0,
        "objective": {},
    }
    torch.save(whole, tmp_path / "s.pt")
    assert load_state(tmp_path / "s.pt", {}) is not None
    torch.save(whole | part, tmp_path / "s.pt")
    with pytest.raises(CheckpointError, match="Delete it"):
        load_state(tmp_path / "s.pt", {})


@pytest.mark.parametrize("text", ["!" + "a" * 1_000_000 + " x", "a: !<" + "%41" * 300_000 + "> x"])
def test_a_tag_of_a_megabyte_takes_no_quadratic_time(text):
    with pytest.raises(ConfigError, match="at most 50000 characters"):
        read_text(text, source="c.yaml")


def test_messages_do_not_repeat_the_file(tmp_path):
    for text in ("!" + "a" * 40_000 + " x", "a: *" + "b" * 40_000, f"{'k' * 40_000}: 1\n{'k' * 40_000}: 2"):
        with pytest.raises(ConfigError) as error:
            read_text(text, source="c.yaml")
        assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: digits, split", "name: LONG, split"),
        ("epochs: 15", "epochs: LONG"),
        ("- fgsm", "- LONG"),
        ("- fgsm", "- pgd: {steps: LONG}"),
        ("architecture: digits_cnn", "architecture: LONG"),
        ("architecture: digits_cnn", "architecture: LONG.py:make"),
        ("protocol: independent", "protocol: LONG"),
        ("limit: 200", "limit: LONG"),
        ("schema: 1", "schema: LONG"),
    ],
)
def test_messages_about_a_plan_do_not_repeat_a_value_of_any_length(old, new):
    text = (SUITES / "digits.yaml").read_text("utf-8")
    assert old in text
    text = text.replace(old, new.replace("LONG", "x" * 50_000), 1)
    with pytest.raises(RobenchError) as error:
        parse(text, file=SUITES / "digits.yaml")
    assert len(str(error.value)) < 5000


@pytest.mark.parametrize("version", ["1.3", "1.9", "2.0", "0.1", "1.1", "999999999999.1", "1.", "x"])
def test_a_directive_of_another_version_is_refused(version):
    with pytest.raises(ConfigError, match=r"YAML 1\.2"):
        read_text(f"%YAML {version}\n---\na: 1\n", source="c.yaml")


@pytest.mark.parametrize("shape", [(0, 2**32 - 1, 2**32 - 1), (2**32 - 1, 0, 2**32 - 1), (0, 28, 28)])
def test_images_whose_number_of_bytes_is_0_are_refused_whatever_their_sides(tmp_path, shape):
    # numpy multiplies the other sides, which overflow.
    head = b"\0\0\x08\x03" + b"".join(side.to_bytes(4, "big") for side in shape)
    (tmp_path / "images").write_bytes(head)
    with pytest.raises(InputError, match="a shape without 0"):
        read_idx(tmp_path / "images")
