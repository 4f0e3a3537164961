import pytest
import torch
import torch.nn.functional as F
import torchvision.models

from model_zoo import catalog
from model_zoo.architectures.residual_blocks import Block, PreActivationBlock
from model_zoo.architectures.resnet import CifarResNet
from model_zoo.architectures.staged_resnet import StagedPreActResNet, StagedResNet
from model_zoo.architectures.vgg import VGG
from model_zoo.catalog import CNNA, CNNTiny, DigitsCNN, RawPixels, ResNet20, SmallCNN
from model_zoo.network import Network, Normalize, Normalized
from robench.errors import ConfigError

CASES = [
    (SmallCNN(), (1, 28, 28), 312_202),
    (ResNet20(), (3, 32, 32), 269_722),
    (DigitsCNN(), (1, 8, 8), 160 + 4_640 + 128 * 64 + 64 + 650),
    (RawPixels(), (1, 8, 8), 650),
    (CNNA(), (1, 28, 28), 16 * 17 + 32 * 257 + 100 * 1569 + 1010),
    (CNNA(), (3, 32, 32), 16 * 49 + 32 * 257 + 100 * 2049 + 1010),
    (CNNTiny(), (1, 28, 28), 4 * 26 + 8 * 101 + 128 * 393 + 1290),
]


@pytest.mark.parametrize(("recipe", "shape", "count"), CASES)
def test_parameter_count_and_shapes(recipe, shape, count):
    backbone = recipe(channels=shape[0], size=shape[1:], classes=10)
    network = Network(backbone, classes=10).eval()
    assert sum(p.numel() for p in network.parameters()) == count
    x = torch.rand(3, *shape)
    z = network.features(x)
    assert z.shape == (3, backbone.feature_dim)
    torch.testing.assert_close(network(x), network.linear(z))


# Table 1 of Wang & Osher 2019 for the first five (0.27, 0.46, 0.66, 0.85, 1.7 million); the others as counted
# by users of https://github.com/kuangliu/pytorch-cifar with thop, and of RobustBench for the last.
PUBLISHED = {
    "ResNet20": 269_722,
    "ResNet32": 464_154,
    "ResNet44": 658_586,
    "ResNet56": 853_018,
    "ResNet110": 1_727_962,
    "VGG11": 9_231_114,
    "VGG13": 9_416_010,
    "VGG16": 14_728_266,
    "VGG19": 20_040_522,
    "ResNet18": 11_173_962,
    "ResNet34": 21_282_122,
    "ResNet50": 23_520_842,
    "PreActResNet18": 11_171_146,
    "PreActResNet34": 21_279_306,
    "PreActResNet50": 23_509_066,
    "WideResNet34x10": 46_160_474,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name):
    with torch.device("meta"):
        backbone = getattr(catalog, name)()(channels=3, size=(32, 32), classes=10)
        network = Network(backbone, classes=10)
        assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]
        assert network.features(torch.empty(2, 3, 32, 32)).shape == (2, backbone.feature_dim)
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 10)


def test_table_1_in_millions():
    texts = [f"{PUBLISHED[f'ResNet{d}'] / 1e6:.2g}" for d in (20, 32, 44, 56, 110)]
    assert texts == ["0.27", "0.46", "0.66", "0.85", "1.7"]


def test_wide_resnet_parameters_by_hand():
    depth, width = 16, 2
    per_stage, count, inside = (depth - 4) // 6, 3 * 16 * 9, 16
    for out in (16 * width, 32 * width, 64 * width):
        count += inside * out  # the shortcut
        for _ in range(per_stage):
            count += 2 * inside + 9 * inside * out + 2 * out + 9 * out * out
            inside = out
    count += 2 * inside
    backbone = catalog.WideResNet(depth=depth, width=width)(channels=3, size=(32, 32), classes=10)
    assert sum(p.numel() for p in backbone.parameters()) == count


SMALL = [
    catalog.VGG11(),
    catalog.VGG11(batch_norm=False),
    catalog.ResNet18(),
    catalog.PreActResNet18(final_norm=True, activated_shortcut=False),
    catalog.WideResNet(depth=10, width=2, dropout=0.3),
]


@pytest.mark.parametrize("recipe", SMALL, ids=lambda r: type(r).__name__)
def test_any_size_and_channels(recipe):
    backbone = recipe(channels=1, size=(5, 6), classes=10).eval()
    x = torch.rand(3, 1, 5, 6)
    z = backbone(x)
    assert z.shape == (3, backbone.feature_dim)
    assert z.std(dim=0).mean() > 0
    torch.testing.assert_close(backbone(x[1:2]), z[1:2], rtol=1e-4, atol=1e-5)


def test_resnet_is_torchvisions_but_for_the_stem():
    reference = torchvision.models.resnet18(num_classes=10).eval()
    reference.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    reference.maxpool = torch.nn.Identity()
    network = StagedResNet(channels=3, depth=18).eval()
    state = {k.replace("downsample", "shortcut"): v for k, v in reference.state_dict().items()}
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")})
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(reference.fc(network(x)), reference(x))


def test_bottleneck_is_torchvisions():
    project = torch.nn.Sequential(torch.nn.Conv2d(6, 16, 1, stride=2, bias=False), torch.nn.BatchNorm2d(16))
    reference = torchvision.models.resnet.Bottleneck(6, 4, 2, project)
    block = Block(6, 4, 2, bottleneck=True)
    block.load_state_dict({k.replace("downsample", "shortcut"): v for k, v in reference.state_dict().items()})
    x = torch.randn(3, 6, 5, 5)
    torch.testing.assert_close(block(x), reference(x))


@pytest.mark.parametrize("activated", [True, False])
def test_preactivation_block_by_hand(activated):
    block = PreActivationBlock(4, 3, 2, bottleneck=True, activated=activated).train()
    x = torch.randn(5, 4, 6, 6)

    def norm(t):
        return (t - t.mean((0, 2, 3), keepdim=True)) / (t.var((0, 2, 3), False, keepdim=True) + 1e-5).sqrt()

    first = norm(x).relu()
    out = F.conv2d(first, block.conv1.weight)
    out = F.conv2d(norm(out).relu(), block.conv2.weight, stride=2, padding=1)
    out = F.conv2d(norm(out).relu(), block.conv3.weight)
    out = out + F.conv2d(first if activated else x, block.shortcut[0].weight, stride=2)
    torch.testing.assert_close(block(x), out, rtol=1e-4, atol=1e-5)
    plain = PreActivationBlock(4, 4, 1)
    torch.nn.init.zeros_(plain.conv2.weight)
    torch.testing.assert_close(plain(x), x)


def test_dropout_acts_in_training_only():
    block = PreActivationBlock(4, 4, 1, dropout=0.5)
    x = torch.randn(5, 4, 6, 6)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


def test_option_a_shortcut_by_hand():
    block = CifarResNet(channels=3, depth=20).blocks[3].eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(2, 16, 8, 8)
    out = block(x)
    assert out.shape == (2, 32, 4, 4)
    torch.testing.assert_close(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


@pytest.mark.parametrize("recipe", [SmallCNN(), DigitsCNN()])
def test_too_small_images_are_refused(recipe):
    with pytest.raises(ConfigError, match="at least"):
        recipe(channels=1, size=(3, 40), classes=10)


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match="6k"):
        CifarResNet(channels=3, depth=21)
    with pytest.raises(ConfigError, match="dropout"):
        SmallCNN(dropout=1.0)
    with pytest.raises(ConfigError, match="dropout"):
        catalog.WideResNet(dropout=-0.1)
    with pytest.raises(ConfigError, match="dropout"):
        catalog.WideResNet34x10(dropout=float("nan"))
    for recipe, word in ((catalog.WideResNet(depth=20), "4"), (catalog.WideResNet(width=0), "width")):
        with pytest.raises(ConfigError, match=word):
            recipe(channels=3, size=(32, 32), classes=10)
    for family in (StagedResNet, StagedPreActResNet, VGG):
        with pytest.raises(ConfigError, match="depth of 1"):
            family(channels=3, depth=20)


def test_buffer_layer_sits_between_features_and_linear():
    network = Network(DigitsCNN()(channels=1, size=(8, 8), classes=4), classes=4, buffer=32)
    z = network.features(torch.rand(5, 1, 8, 8))
    assert z.shape == (5, 32)
    assert (z >= 0).all()
    assert network.feature_dim == 32
    assert network.linear.in_features == 32


def test_normalisation_is_inside_and_not_trained():
    stats = ((0.5, 0.25, 0.1), (0.5, 0.5, 2.0))
    x = torch.rand(2, 3, 4, 4)
    expected = (x - torch.tensor(stats[0]).view(1, 3, 1, 1)) / torch.tensor(stats[1]).view(1, 3, 1, 1)
    torch.testing.assert_close(Normalize(*stats)(x), expected)
    assert not list(Normalize(*stats).parameters())
    flatten = torch.nn.Flatten()
    torch.testing.assert_close(Normalized(flatten, stats)(x), expected.flatten(1))
    network = Network(RawPixels()(channels=3, size=(4, 4), classes=2), classes=2, normalize=stats)
    torch.testing.assert_close(network.features(x), expected.flatten(1))


@pytest.mark.parametrize(
    "stats", [((0.5,), (0.0,)), ((0.5,), (1.0, 1.0)), ((), ()), ((0.5,), (float("nan"),))]
)
def test_bad_statistics_are_refused(stats):
    with pytest.raises(ConfigError, match="standard deviation"):
        Normalize(*stats)


def test_network_without_linear_branch_says_so():
    network = Network(RawPixels()(channels=1, size=(4, 4), classes=2), classes=2, linear=False)
    with pytest.raises(ConfigError, match="wnll"):
        network(torch.rand(1, 1, 4, 4))
