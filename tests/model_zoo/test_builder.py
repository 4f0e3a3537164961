import importlib
import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

from model_zoo.builder import ZooBuilder
from model_zoo.datasets import Digits
from model_zoo.network import Network, Normalized
from robench import plugins
from robench.errors import CheckpointError, ConfigError
from robench.model.interface import OutputKind
from robench.plan.spec import Choice, DataSpec, ModelSpec, TrainSpec
from robench.recipe import describe, summary

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
OURS = {
    (group.removeprefix("robench."), name): value
    for group, points in PROJECT["entry-points"].items()
    for name, value in points.items()
    if value.startswith("model_zoo.")
}
TRAINED = TrainSpec(
    defense=Choice(name="natural"), data=DataSpec(dataset=Choice(name="digits"), split="train")
)


def resolve(value):
    module, _, name = value.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.setattr(plugins, "find", lambda kind, name, *, where="": resolve(OURS[kind, name]))


def spec(name, *, options=None, **rest):
    return ModelSpec(name="row", architecture=Choice(name=name, options=options or {}), **rest)


def network(recipe, shape=(1, 8, 8), seed=0, trust=False):
    return ZooBuilder().network(recipe, shape=shape, classes=10, seed=seed, trust_code=trust)


def model(recipe, net):
    return ZooBuilder().model(
        recipe, net, classes=10, training_data=lambda: Digits()("train"), seed=0, device="cpu"
    )


@pytest.mark.parametrize("key", sorted(OURS))
def test_entry_points_exist_and_describe_themselves(key):
    plugin = resolve(OURS[key])
    assert summary(plugin)
    if key[0] != "builders":
        assert plugin.info.title
        describe(plugin)
        plugin()


def test_weights_depend_on_the_seed_alone():
    recipe = spec("digits_cnn", buffer=16, normalize=((0.3,), (0.4,)))
    before = torch.get_rng_state()
    first, again, other = network(recipe), network(recipe), network(recipe, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.linear.weight, again.linear.weight)
    assert not torch.equal(first.linear.weight, other.linear.weight)
    assert first.buffer[0].out_features == 16


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["vgg11", "resnet20", "resnet18", "preact_resnet18", "wide_resnet"])
def test_every_family_is_drawn_from_the_seed(name):
    options = {"depth": 10, "width": 1} if name == "wide_resnet" else {}
    nets = [network(spec(name, options=options), shape=(3, 32, 32), seed=seed) for seed in (0, 0, 1)]
    first, again, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_linear_model_offers_itself():
    recipe = spec("digits_cnn", normalize=((0.3,), (0.4,)))
    net = network(recipe).eval()
    target = model(recipe, net)
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(target.source("exact").surrogate(x)[1], net(x))
    assert target.details["architecture"] == "digits_cnn"
    assert target.details["normalize"] == [[0.3], [0.4]]


def test_raw_pixels_have_a_linear_branch_only_if_it_will_have_weights():
    wnll = Choice(name="wnll", options={"m": 10, "n": 5, "template": 100})
    bare = spec("raw_pixels", head=wnll)
    assert list(model(bare, network(bare)).sources) == ["exact", "kernel"]
    recipe = spec("raw_pixels", head=wnll, train=TRAINED)
    assert "linear" in model(recipe, network(recipe)).sources
    with pytest.raises(ConfigError, match="wnll"):
        model(spec("raw_pixels"), network(spec("raw_pixels")))


def test_two_heads_share_one_network():
    first = spec("digits_cnn")
    net = network(first)
    second = ModelSpec(name="w", features_of="row", head=Choice(name="wnll", options={"m": 10, "n": 5}))
    other = model(second, net)
    assert other.net.branches.module is net
    assert other.details["features_of"] == "row"
    assert model(first, net).net.module is net


def test_sources_that_are_not_offered_are_refused():
    with pytest.raises(ConfigError, match="straight"):
        model(spec("digits_cnn", sources=("straight",)), network(spec("digits_cnn")))
    recipe = spec("digits_cnn", head=Choice(name="wnll", options={"protocol": "nonsense"}))
    net = network(recipe)
    with pytest.raises(ConfigError, match="protocol"):
        model(recipe, net)


@pytest.mark.thorough
def test_torchvision_network_stays_itself(tmp_path):
    stats = ((0.5,) * 3, (0.5,) * 3)
    recipe = spec("torchvision:resnet18", normalize=stats)
    net = network(recipe, shape=(3, 32, 32))
    assert isinstance(net, Normalized)
    digest = ZooBuilder().save(net, tmp_path / "m.safetensors", card={"name": "row"})
    bare = network(spec("torchvision:resnet18"), shape=(3, 32, 32), seed=1)
    assert ZooBuilder().load(bare, tmp_path / "m.safetensors", sha256=digest) == digest
    assert torch.equal(bare.fc.weight, net.module.fc.weight)
    with pytest.raises(CheckpointError):
        ZooBuilder().load(network(spec("digits_cnn")), tmp_path / "m.safetensors", sha256=None)
    for wrong in (
        spec("torchvision:resnet18", buffer=8),
        spec("torchvision:resnet18", normalize=((0.5,), (1.0,))),
    ):
        with pytest.raises(ConfigError):
            network(wrong, shape=(3, 32, 32))
    with pytest.raises(ConfigError, match="expected a network that takes images of 1 channel"):
        network(spec("torchvision:resnet18"), shape=(1, 8, 8))


def test_users_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "def ten():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.LogSoftmax(1))\n"
        "def four():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))\n"
        "class Backbone(nn.Flatten):\n    feature_dim = 64\n"
    )
    with pytest.raises(ConfigError, match="--trust-code"):
        network(spec(f"{file}:ten"))
    recipe = spec(f"{file}:ten", output="log_probabilities")
    target = model(recipe, network(recipe, trust=True))
    assert target.output is OutputKind.LOG_PROBABILITIES
    assert target.source("exact").output is OutputKind.LOG_PROBABILITIES
    assert isinstance(target.net.module, nn.Sequential)
    with pytest.raises(ConfigError, match="10 outputs, one for each class of the data, got 4"):
        network(spec(f"{file}:four"), trust=True)
    with pytest.raises(ConfigError, match="output as one of"):
        model(spec(f"{file}:ten", output="votes"), network(recipe, trust=True))
    backbone = network(spec(f"{file}:Backbone", buffer=5, train=TRAINED), trust=True)
    assert isinstance(backbone, Network)


@pytest.fixture
def dims(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "def net(width, dim):\n"
        "    made = nn.Sequential(nn.Flatten(), nn.Linear(64, width))\n"
        "    made.feature_dim = dim\n"
        "    return made\n"
        "def tall():\n    return Tall()\n"
        "class Tall(nn.Module):\n"
        "    feature_dim = 4\n"
        "    def forward(self, x):\n        return x[:, :, :4, :4]\n"
    )
    return f"{file}:net"


@pytest.mark.parametrize("dim", [256, 10, "wide"])
def test_a_classifier_with_a_feature_dim_stays_one(dims, dim, caplog):
    net = network(spec(dims, options={"width": 10, "dim": dim}), trust=True)
    assert isinstance(net, nn.Sequential)
    assert "its attribute `feature_dim` is ignored" in caplog.text
    same = network(spec(dims, options={"width": 10, "dim": None}), trust=True)
    assert torch.equal(net[1].weight, same[1].weight)


def test_a_backbone_of_a_file_is_told_by_its_answer(dims, caplog):
    wide = network(spec(dims, options={"width": 7, "dim": 7}), trust=True)
    assert isinstance(wide, Network)
    options = {"width": 10, "dim": 10}
    assert isinstance(network(spec(dims, options=options, buffer=5, train=TRAINED), trust=True), Network)
    assert isinstance(network(spec(dims, options=options, head=Choice(name="wnll")), trust=True), Network)
    assert not caplog.text
    with pytest.raises(ConfigError, match="expected a backbone for the buffer, got a classifier"):
        network(spec(dims, options={"width": 10, "dim": 64}, buffer=5, train=TRAINED), trust=True)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("net", {"width": 7, "dim": 64}, "a classifier with 10 outputs, or a backbone with the 64 of its"),
        ("net", {"width": 7, "dim": "wide"}, "or a backbone with the 'wide' of its `feature_dim`, got 7"),
        ("tall", {}, r"outputs of shape \(2, classes\)"),
    ],
)
def test_neither_a_classifier_nor_a_backbone_is_refused(dims, name, options, message):
    with pytest.raises(ConfigError, match=message):
        network(spec(dims.replace(":net", f":{name}"), options=options), trust=True)


def test_no_architecture():
    with pytest.raises(ConfigError, match="an architecture"):
        network(ModelSpec(name="row"))
