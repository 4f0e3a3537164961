"""Input diversity against torch's own interpolation, and DI-FGSM against its limits and torchattacks."""

import math

import pytest
import torch
import torch.nn.functional as F

from attacks.gradient.difgsm import DIFGSM, diverse_gradient, rescaling
from attacks.gradient.mifgsm import MIFGSM
from robench.attack.losses import cross_entropy
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from robench.randomness import Randomness
from tests.attacks.digits import digits_cnn
from tests.truths import attacked, broken, classify, images, small_net


def streams(count, seed=0):
    return Randomness(seed, torch.arange(count))


def placed(image, height, width, down, right):
    """Shrink (C, H, W) with torch and put it on a black canvas of the old size."""
    small = F.interpolate(image[None], size=(height, width), mode="bilinear", align_corners=False)
    canvas = torch.zeros_like(image)
    canvas[:, down : down + height, right : right + width] = small[0]
    return canvas


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(DIFGSM(steps=4)))


@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 8, 12), (2, 12, 7)], ids=str)
def test_a_rescaled_image_is_what_torch_interpolates(shape):
    x = images(40, shape)
    rows, columns = rescaling(x, streams(40), probability=1.0, smallest=0.6)
    results = rows @ x @ columns.mT
    layouts = set()
    for image, result, row, column in zip(x, results, rows, columns, strict=True):
        down, right = (m[0].sum(dim=1).gt(0.5).nonzero().flatten() for m in (row, column))
        target = placed(image, len(down), len(right), int(down[0]), int(right[0]))
        assert torch.allclose(result, target, atol=1e-6)
        assert int(shape[1] * 0.6) <= len(down) < shape[1]
        assert len(right) == round(shape[2] * len(down) / shape[1])
        layouts.add((len(down), int(down[0]), int(right[0])))
    assert len(layouts) > 8  # many sizes and places, each image its own


def test_the_coin_falls_as_often_as_asked():
    x = images(2000, (1, 6, 6))
    rows, columns = rescaling(x, streams(2000), probability=0.3, smallest=0.5)
    identity = (rows == torch.eye(6)).all(dim=-1).all(dim=-1).squeeze(1)
    assert torch.equal(identity, (columns == torch.eye(6)).all(dim=-1).all(dim=-1).squeeze(1))
    assert float(identity.float().mean()) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 2000))


def test_the_gradient_is_that_of_the_rescaled_image():
    model, x = small_net(seed=1), images(8)
    y = classify(model, x)
    threat = ThreatModel(eps=0.1)
    gradient = diverse_gradient(
        Oracle(model, x, y, threat), cross_entropy, x, streams(8), probability=0.8, smallest=0.5
    )
    rows, columns = rescaling(x, streams(8), probability=0.8, smallest=0.5)
    point = x.clone().requires_grad_(True)
    loss = cross_entropy(model.net(rows @ point @ columns.mT), y, model.output).sum()
    (truth,) = torch.autograd.grad(loss, point)
    assert torch.allclose(gradient, truth, atol=1e-6)


def test_without_diversity_it_is_mifgsm():
    model, x = small_net(seed=1), images(12)
    _, _, own = attacked(DIFGSM(probability=0.0), model, x, eps=0.06)
    _, _, plain = attacked(MIFGSM(), model, x, eps=0.06)
    assert torch.allclose(own, plain, atol=1e-6)


@pytest.mark.thorough
def test_robust_accuracy_agrees_with_torchattacks():
    """Within 15 points of 60 images: the two draw other sizes, one per image here, one per batch there."""
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = digits_cnn()
    x, y = x[:60], y[:60]
    own, _, _ = attacked(DIFGSM(probability=0.5), model, x, y, eps=0.15)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = torchattacks.DIFGSM(model.net, eps=0.15, alpha=0.015, decay=1.0)(x, y)
    ours, library = (float(broken(model, images, y).float().mean()) for images in (own, theirs))
    assert 0.2 < library < 0.95
    assert abs(ours - library) < 0.15


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"probability": 1.1},
        {"probability": -0.1},
        {"smallest": 0.0},
        {"smallest": 1.5},
        {"decay": -1},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        DIFGSM(**options)


def test_an_infinite_radius_is_refused():
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(DIFGSM(), small_net(), images(2), eps=math.inf)
