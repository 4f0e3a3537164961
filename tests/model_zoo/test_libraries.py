import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision import models

from model_zoo.builder import ZooBuilder
from model_zoo.last_layer import split_last_linear
from model_zoo.libraries import timm_model, torchvision_model
from robench.errors import ConfigError
from robench.plan.spec import Choice, ModelSpec


def tv(name, **options):
    return torchvision_model(name, channels=3, classes=3, options=options, where="plan.yaml:4")


def test_torchvision_refusals():
    with pytest.raises(ConfigError, match="resnet18"):
        tv("resnet81")
    with pytest.raises(ConfigError, match="checkpoint"):
        tv("resnet18", weights="DEFAULT")
    with pytest.raises(ConfigError, match="TypeError"):
        tv("resnet18", nonsense=1)


# The families whose head is more than one Linear, in miniature: the last of a Sequential, after a norm, ...
MINIATURES = {
    "mobilenet": lambda: tv("mobilenet_v3_small", width_mult=0.25),
    "shufflenet": lambda: tv("shufflenet_v2_x0_5"),
    "vit": lambda: models.VisionTransformer(32, 16, 1, 2, 16, 8, num_classes=3),
    "convnext": lambda: models.ConvNeXt([models.convnext.CNBlockConfig(8, None, 2)], num_classes=3),
    "swin": lambda: models.SwinTransformer([4, 4], 8, [2], [2], [7, 7], num_classes=3),
    "densenet": lambda: models.DenseNet(4, (1, 1), 8, num_classes=3),
}


@pytest.mark.parametrize("name", MINIATURES)
def test_torchvision_heads_split_at_their_last_linear(name):
    network, x = MINIATURES[name]().eval(), torch.rand(2, 3, 32, 32)
    split = split_last_linear(network, x)
    assert split.linear.out_features == 3
    torch.testing.assert_close(split.linear(split.features(x)), network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "size"),
    [("alexnet", 224), ("vgg11_bn", 32), ("squeezenet1_1", 32), ("densenet121", 32), ("mobilenet_v2", 32),
     ("convnext_tiny", 32), ("vit_b_16", 224), ("swin_t", 32), ("maxvit_t", 224)],
)  # fmt: skip
def test_torchvision_families_by_name(name, size):
    with torch.device("meta"):
        assert tv(name).eval()(torch.empty(1, 3, size, size)).shape == (1, 3)


@pytest.mark.parametrize(("name", "size"), [("googlenet", 32), ("inception_v3", 96)])
def test_networks_with_side_outputs_have_one_output_while_training(name, size):
    with torch.device("meta"):
        network = tv(name).train()
        assert network(torch.empty(2, 3, size, size)).shape == (2, 3)


class FakeNet(nn.Module):
    def __init__(self, channels, classes, width=4):
        super().__init__()
        self.stem, self.head = nn.Conv2d(channels, width, 1), nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.stem(x).mean(dim=(2, 3)))


@pytest.fixture
def calls(monkeypatch):
    requests = []

    def create_model(name, *, pretrained, num_classes, in_chans, **options):
        requests.append((name, pretrained))
        return FakeNet(in_chans, num_classes, **options)

    fake = SimpleNamespace(list_models=lambda: ["resnet18", "vit_tiny"], create_model=create_model)
    monkeypatch.setitem(sys.modules, "timm", fake)
    return requests


def test_timm_by_name(calls):
    choice = Choice(name="timm:vit_tiny", options={"width": 6})
    recipe = ModelSpec(name="row", architecture=choice, normalize=((0.5,), (0.5,)))
    network = ZooBuilder().network(recipe, shape=(1, 8, 8), classes=7, seed=0, trust_code=False)
    again = ZooBuilder().network(recipe, shape=(1, 8, 8), classes=7, seed=0, trust_code=False)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 7)
    assert torch.equal(network.module.head.weight, again.module.head.weight)
    assert network.module.stem.out_channels == 6
    assert calls == [("vit_tiny", False)] * 2


def timm(name, **options):
    return timm_model(name, channels=3, classes=3, options=options, where="plan.yaml:4")


@pytest.mark.parametrize("name", ["resnet81", "hf-hub:someone/net", "local-dir:/tmp", "resnet18.a1_in1k", ""])
def test_timm_takes_only_names_of_its_own(calls, name):
    with pytest.raises(ConfigError, match=r"plan\.yaml:4.*timm classifier"):
        timm(name)
    assert not calls


@pytest.mark.parametrize("option", ["pretrained", "checkpoint_path", "num_classes", "in_chans"])
def test_timm_options_that_are_refused(calls, option):
    with pytest.raises(ConfigError, match=option):
        timm("resnet18", **{option: 1})
    with pytest.raises(ConfigError, match="TypeError"):
        timm("resnet18", nonsense=1)


def test_timm_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'robench\[timm\]'"):
        timm("resnet18")


def test_real_timm():
    pytest.importorskip("timm")
    network = timm("resnet18").eval()
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 3)
    assert split_last_linear(network, torch.rand(2, 3, 32, 32)).linear.out_features == 3
