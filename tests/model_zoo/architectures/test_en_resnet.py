"""The Feynman-Kac ensemble: plain ResNets where there is no noise, the law of its noise, and whose it is."""

import math

import pytest
import torch

from model_zoo.architectures.en_resnet import EnResNet, shaken
from model_zoo.architectures.resnet import CifarResNet
from model_zoo.catalog import EnResNet as Recipe
from model_zoo.catalog import EnResNet20
from model_zoo.network import Network
from robench.errors import ConfigError
from robench.model.noise import draw
from robench.randomness import Randomness, borrowed_global_randomness

RESNET20 = 269_722  # He et al. 2015, Table 6: 0.27 million


def ensemble(members=2, noise=0.3, depth=8, seed=0):
    with borrowed_global_randomness(0):
        return EnResNet(channels=1, depth=depth, members=members, noise=noise, seed=seed).eval()


def images(count=6):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("members", [1, 2, 5])
def test_parameters_are_those_of_as_many_resnets_with_one_bias(members):
    with torch.device("meta"):
        backbone = EnResNet20(members=members)(channels=3, size=(32, 32), classes=10)
        count = sum(p.numel() for p in Network(backbone, classes=10).parameters())
    assert count == members * RESNET20 - (members - 1) * 10
    assert f"{count / 1e6:.2f}" == f"{members * RESNET20 / 1e6:.2f}"


@pytest.mark.parametrize("training", [False, True])
def test_one_member_without_noise_is_the_plain_resnet_bit_for_bit(training):
    net = ensemble(members=1, noise=0.0, depth=20).train(training)
    with borrowed_global_randomness(0):
        plain = CifarResNet(channels=1, depth=20).train(training)
    assert torch.equal(net(images()), plain(images()))


def test_logits_are_the_mean_of_the_members():
    net = ensemble(members=3, noise=0.0)
    network = Network(net, classes=4).eval()
    expected = 0
    for member, weight in zip(net.members, network.linear.weight.chunk(3, dim=1), strict=True):
        expected = expected + (member(images()) @ weight.T + network.linear.bias) / 3
    torch.testing.assert_close(network(images()), expected)


@pytest.mark.parametrize("own", [True, False])
def test_noise_has_the_deviation_of_the_law_times_that_of_the_image(own):
    scale = torch.tensor([0.5, 1.0, 4.0])
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 16, 32, 32, generator=generator) * scale[:, None, None, None] + 2
    with borrowed_global_randomness(3):
        noise = shaken(z, 0.1, Randomness(0, torch.arange(3)) if own else None) - z
    count = z[0].numel()
    deviation = noise.flatten(1).std(dim=1)
    expected = 0.1 * z.flatten(1).std(dim=1)
    # Four standard errors of a deviation from n normal numbers, sigma / sqrt(2 n).
    torch.testing.assert_close(deviation, expected, rtol=4 / math.sqrt(2 * count), atol=0)
    assert (noise.flatten(1).mean(dim=1).abs() < 4 * expected / math.sqrt(count)).all()
    fourth = (noise.flatten(1) / expected[:, None]).pow(4).mean(dim=1)
    torch.testing.assert_close(fourth, torch.full((3,), 3.0), rtol=0, atol=4 * math.sqrt(96 / count))


def test_the_gradient_goes_through_the_deviation_and_survives_a_constant_image():
    z = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def noisy(values):
        chance = Randomness(0, torch.arange(2))
        normal = chance.normal(torch.empty(2, 3, 4, 4))
        return values + 0.5 * values.flatten(1).std(dim=1)[:, None, None, None] * normal

    (expected,) = torch.autograd.grad(noisy(z).square().sum(), z)
    single = z.detach().float().requires_grad_(True)
    (gradient,) = torch.autograd.grad(
        shaken(single, 0.5, Randomness(0, torch.arange(2))).square().sum(), single
    )
    torch.testing.assert_close(gradient, expected.float(), rtol=1e-4, atol=1e-5)
    constant = torch.ones(2, 3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(shaken(constant, 0.5, None).sum(), constant)
    assert torch.isfinite(gradient).all()


def test_bfloat16_draws_stay_finite():
    z = torch.ones(1, 64, 128, 128, dtype=torch.bfloat16)
    z[:, ::2] = -1
    draws = shaken(z, 1.0, Randomness(0, torch.arange(1)))
    assert draws.dtype is torch.bfloat16
    assert torch.isfinite(draws).all()


def test_noise_belongs_to_the_image_whatever_its_batch():
    net, x = ensemble(), images()
    whole = net(x)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(net(x[order]), whole[order], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.cat([net(x[:2]), net(x[2:])]), whole, rtol=1e-5, atol=1e-6)
    assert torch.equal(net(x), whole)


def test_draw_seed_member_and_every_pixel_change_the_noise():
    net, x = ensemble(members=2), images(1)
    plain = net(x)
    with draw(1):
        assert not torch.allclose(net(x), plain, rtol=0.01)
    assert not torch.allclose(ensemble(seed=1)(x), plain, rtol=0.01)
    net.members[1].load_state_dict(net.members[0].state_dict())
    first, second = net(x).chunk(2, dim=1)
    assert not torch.allclose(first, second, rtol=0.01)
    variant = x.clone()
    variant[0, 0, 0, 0] += 1e-6
    assert not torch.allclose(net(variant), plain, rtol=0.01)


def test_training_draws_from_the_global_generator_and_evaluation_does_not():
    net, x = ensemble(noise=0.2).train(), images()
    for norm in net.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.eval()
    with borrowed_global_randomness(1):
        first, second = net(x), net(x)
    with borrowed_global_randomness(1):
        again = net(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    state = torch.get_rng_state()
    net.eval()(x)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "match"),
    [({"members": 0}, "members"), ({"noise": -0.1}, "noise"), ({"noise": float("nan")}, "noise")],
)
def test_options_that_mean_nothing_are_refused(options, match):
    for recipe in (Recipe, EnResNet20):
        with pytest.raises(ConfigError, match=match):
            recipe(**options)
    with pytest.raises(ConfigError, match="6k"):
        Recipe(depth=21)(channels=1, size=(8, 8), classes=2)
