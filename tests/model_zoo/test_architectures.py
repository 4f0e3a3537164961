import pytest
import torch

from model_zoo.architectures.resnet import CifarResNet
from model_zoo.catalog import DigitsCNN, RawPixels, ResNet20, SmallCNN
from model_zoo.network import Network, Normalize, Normalized
from robench.errors import ConfigError

CASES = [
    (SmallCNN(), (1, 28, 28), 312_202),
    (ResNet20(), (3, 32, 32), 269_722),
    (DigitsCNN(), (1, 8, 8), 160 + 4_640 + 128 * 64 + 64 + 650),
    (RawPixels(), (1, 8, 8), 650),
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


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_resnet_sizes_are_those_of_the_paper(depth, millions):
    network = Network(CifarResNet(channels=3, depth=depth), classes=10)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions


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
