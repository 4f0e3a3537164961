"""Files of the data root in a configuration: found there, or refused before anything is loaded."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_zoo.builder import ZooBuilder
from model_zoo.datasets.files import resolved
from robench.audit.verify import read_plan
from robench.cli import app
from robench.errors import ConfigError, InputError
from robench.plan.config import parse
from robench.plan.data_root import check_checkpoints, in_data_root, located
from robench.plan.spec import to_json
from robench.record.store import Store

TEXT = """\
schema: 1
name: rooted
dataset: {name: digits, limit: 20}
models:
  - name: mine
    architecture: digits_cnn
    checkpoint: $DATA_ROOT/models/mine.safetensors
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm]}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rooted.yaml"
    path.write_text(TEXT)
    return path


def weights(root, seed=0):
    spec = parse(TEXT, file=Path("x.yaml")).models[0]
    network = ZooBuilder().network(spec, shape=(1, 8, 8), classes=10, seed=seed, trust_code=False)
    (root / "models").mkdir(parents=True, exist_ok=True)
    ZooBuilder().save(network, root / "models" / "mine.safetensors", card={})
    return network


def robench(*arguments, folder, monkeypatch):
    monkeypatch.delenv("ROBENCH_DATA_ROOT", raising=False)
    monkeypatch.chdir(folder)
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_the_plan_keeps_the_name_and_no_folder_of_this_machine(file):
    (model,) = parse(TEXT, file=file).models
    assert to_json(model)["checkpoint"] == "$DATA_ROOT/models/mine.safetensors"


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("$DATA_ROOT/models/x.pt", True),
        ("$DATA_ROOT/x.pt", True),
        ("$DATA_ROOTS/x.pt", False),
        ("models/$DATA_ROOT/x.pt", False),
        ("/x.pt", False),
        ("", False),
    ],
)
def test_what_counts_as_a_path_of_the_data_root(path, inside):
    assert in_data_root(path) is inside


def test_it_is_found_there_and_other_paths_stay(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"")
    assert located(Path("$DATA_ROOT/x.pt"), tmp_path, where="") == tmp_path / "x.pt"
    assert located(Path("elsewhere/x.pt"), None, where="") == Path("elsewhere/x.pt")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("$DATA_ROOT/absent.pt", "expected the file .*absent.pt, got none"),
        ("$DATA_ROOT/../outside.pt", "expected a path inside"),
        ("$DATA_ROOT/", "got none"),
        ("$DATA_ROOT/folder", "got none"),
        ("$DATA_ROOT/a\0b", "got none"),
        ("$DATA_ROOT/" + "a" * 5000, "got none"),
    ],
)
def test_refusals_name_the_line(tmp_path, path, words):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.pt").write_bytes(b"")
    with pytest.raises(ConfigError, match=words) as error:
        located(Path(path), root, where="a.yaml:7")
    assert str(error.value).startswith("a.yaml:7: ")


def test_without_a_data_root(file):
    plan = parse(TEXT, file=file)
    with pytest.raises(ConfigError, match=r"rooted\.yaml:5: .*--data-root DIR"):
        check_checkpoints(plan, None)


@pytest.mark.parametrize("command", ["run", "train", "check", "parity", "certify"])
def test_every_command_refuses_before_anything_is_written(file, command, monkeypatch):
    words = {"parity": [file, "mine"], "certify": [file, "mine"], "check": [file, "--preflight"]}
    answer = robench(command, *words.get(command, [file]), folder=file.parent, monkeypatch=monkeypatch)
    assert answer.exit_code == 2
    assert "rooted.yaml:5: expected the folder of data sets" in answer.output
    assert "--data-root DIR" in answer.output
    assert sorted(path.name for path in file.parent.iterdir()) == ["rooted.yaml"]


def test_check_without_preflight_asks_for_no_folder(file, monkeypatch):
    answer = robench("check", file, folder=file.parent, monkeypatch=monkeypatch)
    assert (answer.exit_code, "valid" in answer.output) == (0, True)


@pytest.mark.thorough
def test_a_run_loads_the_file_and_verify_finds_it_in_another_folder(file, tmp_path, monkeypatch):
    weights(tmp_path / "here")
    weights(tmp_path / "there")
    out = tmp_path / "out"
    answer = robench(
        "run", file, "--out", out, "--data-root", tmp_path / "here", "--workers", "0", "-q",
        folder=tmp_path, monkeypatch=monkeypatch,
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert read_plan(Store(out)).models[0].checkpoint == Path("$DATA_ROOT/models/mine.safetensors")
    assert str(tmp_path) not in (out / "plan.json").read_text()
    again = robench(
        "verify", out, "--data-root", tmp_path / "there", folder=tmp_path, monkeypatch=monkeypatch
    )
    assert again.exit_code == 0, again.output
    weights(tmp_path / "there", seed=1)
    other = robench(
        "verify", out, "--data-root", tmp_path / "there", folder=tmp_path, monkeypatch=monkeypatch
    )
    assert other.exit_code == 1, other.output


def test_data_sets_name_files_in_the_same_way(tmp_path):
    assert resolved("$DATA_ROOT/a.npz", tmp_path, where="npz") == (tmp_path / "a.npz").resolve()
    with pytest.raises(InputError, match="--data-root DIR"):
        resolved("$DATA_ROOT/a.npz", None, where="npz")
    with pytest.raises(InputError, match="a path inside"):
        resolved("$DATA_ROOT/../a.npz", tmp_path, where="npz")
