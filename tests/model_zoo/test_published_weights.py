"""Published weights are found in caches laid out as their libraries do, and never fetched unasked."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from model_zoo.libraries import hugging_face_model
from model_zoo.published_weights import published
from robench.errors import ConfigError, InputError


def ask(name, root=None, download=False):
    return published(name, root=root, download=download, where="MODEL")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Write a repository into a cache of Hugging Face."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def write(repository, **files):
        folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text("abc123\n")
        place = folder / "snapshots" / "abc123"
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = place / name.replace("__", ".")
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return place

    return write


def test_a_repository_of_timm(hub):
    facts = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}}
    place = hub("timm/resnet18.a1_in1k", config__json=facts, model__safetensors="x")
    assert ask("hf:timm/resnet18.a1_in1k") == {
        "architecture": "timm:resnet18",
        "checkpoint": str(place / "model.safetensors"),
        "normalize": {"mean": [0.5] * 3, "std": [0.2] * 3},
    }


def test_a_repository_of_transformers(hub):
    facts = {"architectures": ["ResNetForImageClassification"]}
    mean = {"image_mean": [0.1], "image_std": [0.3]}
    hub("a/b", config__json=facts, pytorch_model__bin="x", preprocessor_config__json=mean)
    entry = ask("hf:a/b")
    assert entry["architecture"] == "hf:a/b"
    assert entry["checkpoint"].endswith("pytorch_model.bin")
    assert entry["normalize"] == {"mean": [0.1], "std": [0.3]}
    hub("a/b", preprocessor_config__json={**mean, "do_normalize": False})
    assert "normalize" not in ask("hf:a/b")


def test_what_is_not_in_the_cache_is_said_with_the_place(hub, tmp_path):
    with pytest.raises(ConfigError, match=r"hf:a/b, got none in .*models--a--b\. Add --download"):
        ask("hf:a/b")
    place = hub("a/b", config__json={"architecture": "resnet18"})
    with pytest.raises(ConfigError, match="Add --download"):
        ask("hf:a/b")  # no weights
    (place / "model.safetensors").write_text("x")
    (place / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: expected JSON"):
        ask("hf:a/b")
    (place / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    with pytest.raises(ConfigError, match=r"an image classifier .* got BertModel"):
        ask("hf:a/b")
    for name in ("../b", "a", "a/b/c", "a/..", "a/b\0"):
        with pytest.raises(ConfigError, match="expected hf:ORG/NAME"):
            ask(f"hf:{name}")
    (tmp_path / "hub" / "models--a--b" / "refs" / "main").write_text("../../../etc")
    with pytest.raises(ConfigError, match="Add --download"):
        ask("hf:a/b")


def test_fetching_needs_its_package_and_tells_what_the_server_says(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="pip install huggingface_hub"):
        ask("hf:a/b", download=True)
    fake = ModuleType("huggingface_hub")

    def refuse(*_):
        raise OSError("401: a secret place")

    fake.hf_hub_download, fake.list_repo_files = refuse, refuse
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    with pytest.raises(InputError, match=r"weights of hf:a/b, got OSError: 401: a secret place"):
        ask("hf:a/b", download=True)
    place = hub("x/y", config__json={"architecture": "resnet18"}, model__safetensors="x")
    fake.list_repo_files = lambda _: ["config.json", "model.safetensors"]
    fake.hf_hub_download = lambda _, name: str(place / name)
    assert ask("hf:a/b", download=True)["architecture"] == "timm:resnet18"
    fake.list_repo_files = lambda _: ["README.md"]
    with pytest.raises(ConfigError, match=r"config\.json and one of .* got README\.md"):
        ask("hf:a/b", download=True)


def test_torchvision(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"torchvision:resnet18, got none in .*checkpoints\. Add --download"
    ):
        ask("torchvision:resnet18")
    with pytest.raises(ConfigError, match=r"Did you mean .*resnet18"):
        ask("torchvision:resnet17")
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    file.write_text("x")
    assert ask("torchvision:resnet18") == {
        "architecture": "torchvision:resnet18",
        "checkpoint": str(file),
        "normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    }


def test_timm(hub, monkeypatch):
    fake = ModuleType("timm")
    facts = SimpleNamespace(hf_hub_id="timm/tiny.a1", mean=(0.5,), std=(0.25,))
    fake.list_models = lambda: ["tiny"]
    fake.models = SimpleNamespace(get_pretrained_cfg=lambda _: facts)
    monkeypatch.setitem(sys.modules, "timm", fake)
    place = hub("timm/tiny.a1", config__json={"architecture": "tiny"}, model__safetensors="x")
    assert ask("timm:tiny.a1") == {
        "architecture": "timm:tiny",
        "checkpoint": str(place / "model.safetensors"),
        "normalize": {"mean": [0.5], "std": [0.25]},
    }
    with pytest.raises(ConfigError, match="'tiny'"):
        ask("timm:tine")
    facts.hf_hub_id = None
    with pytest.raises(ConfigError, match="published weights of timm:tiny"):
        ask("timm:tiny")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'robench\[timm\]'"):
        ask("timm:tiny")


def test_robustbench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "cifar10/Linf/Carmon2019Unlabeled"
    with pytest.raises(ConfigError, match=r"models/cifar10/Linf/Carmon2019Unlabeled\.pt or .*data/models"):
        ask(f"robustbench:{name}", root=Path("data"))
    with pytest.raises(ConfigError, match="Did you mean 'cifar10/Linf/Carmon"):
        ask(f"robustbench:{name[:-1]}")
    file = tmp_path / "data" / "models" / f"{name}.pt"
    file.parent.mkdir(parents=True)
    file.write_text("x")
    expected = {"architecture": f"robustbench:{name}", "checkpoint": str(file)}
    assert ask(f"robustbench:{name}", root=Path("data")) == expected


def test_a_network_of_transformers_is_made_as_its_repository_says_without_its_code(hub, monkeypatch):
    requests = []

    class Auto:
        @staticmethod
        def from_pretrained(folder, **options):
            requests.append((folder, options))
            return json.loads((Path(folder) / "config.json").read_text())

        @staticmethod
        def from_config(config, **options):
            requests.append(options)
            return nn.Linear(config["width"], 3)

    fake = ModuleType("transformers")
    fake.AutoConfig = fake.AutoModelForImageClassification = Auto
    monkeypatch.setitem(sys.modules, "transformers", fake)
    place = hub("a/b", config__json={"architectures": ["XForImageClassification"], "width": 5})
    network = hugging_face_model("a/b", channels=3, classes=3, options={}, where="x:1")
    assert network.in_features == 5
    assert requests == [
        (str(place), {"local_files_only": True, "trust_remote_code": False}),
        {"trust_remote_code": False},
    ]
    with pytest.raises(ConfigError, match="no options"):
        hugging_face_model("a/b", channels=3, classes=3, options={"a": 1}, where="x:1")
    with pytest.raises(ConfigError, match="--download"):
        hugging_face_model("c/d", channels=3, classes=3, options={}, where="x:1")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match="pip install transformers"):
        hugging_face_model("a/b", channels=3, classes=3, options={}, where="x:1")
