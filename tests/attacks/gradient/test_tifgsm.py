"""The smoothing kernels by hand, the convolution as a mean over translations, and torchattacks."""

import math

import pytest
import torch

from attacks.gradient.difgsm import DIFGSM
from attacks.gradient.tifgsm import TIFGSM, profile, smooth
from robench.conformance import check_attack, failures
from robench.errors import ConfigError
from tests.truths import attacked, images, small_net

KERNELS = ["gaussian", "linear", "uniform"]


@pytest.mark.thorough
def test_it_keeps_the_laws():
    assert not failures(check_attack(TIFGSM(steps=4, kernel_size=3)))


def test_profiles_by_hand():
    like = torch.zeros(1, dtype=torch.float64)
    ends = math.exp(-4.5)  # three standard deviations out
    assert profile("uniform", 5, like).tolist() == pytest.approx([0.2] * 5)
    assert profile("linear", 3, like).tolist() == pytest.approx([0.25, 0.5, 0.25])
    assert profile("gaussian", 3, like).tolist() == pytest.approx(
        [v / (1 + 2 * ends) for v in (ends, 1, ends)]
    )
    for kernel in KERNELS:
        assert profile(kernel, 1, like).tolist() == [1.0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_smoothing_is_the_weighted_mean_of_translated_gradients(kernel):
    """Dong et al. 2019, Eq. 7: the sum over shifts (i, j) of w_i w_j times the gradient moved by (-i, -j)."""
    gradient = images(3, (2, 6, 7)) - 0.5
    weights = profile(kernel, 5, gradient)
    canvas = torch.nn.functional.pad(gradient, (2, 2, 2, 2))
    truth = sum(
        weights[i] * weights[j] * canvas[..., i : i + 6, j : j + 7] for i in range(5) for j in range(5)
    )
    assert torch.allclose(smooth(gradient, weights), truth, atol=1e-6)


def test_a_kernel_of_one_pixel_changes_nothing():
    model, x = small_net(seed=1), images(12)
    _, _, own = attacked(TIFGSM(kernel_size=1), model, x, eps=0.06)
    _, _, plain = attacked(DIFGSM(probability=0.7), model, x, eps=0.06)
    assert torch.equal(own, plain)


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_agrees_with_torchattacks_pixel_by_pixel(kernel):
    torchattacks = pytest.importorskip("torchattacks")
    model, x = small_net((3, 7, 7), seed=1), images(20, (3, 7, 7))
    own = TIFGSM(steps=6, step_size=0.01, decay=0.8, probability=0.0, kernel=kernel, kernel_size=5)
    y = model.net(x).argmax(dim=1)
    _, _, last = attacked(own, model, x, y, eps=0.04)
    theirs = torchattacks.TIFGSM(
        model.net,
        eps=0.04,
        alpha=0.01,
        steps=6,
        decay=0.8,
        kernel_name=kernel,
        len_kernel=5,
        diversity_prob=0,
    )
    assert ((last - theirs(x, y)).abs() < 1e-5).float().mean() > 0.98


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"kernel": "box"}, {"kernel_size": 4}, {"kernel_size": 0}, {"probability": 2.0}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        TIFGSM(**options)


def test_an_infinite_radius_is_refused():
    with pytest.raises(ConfigError, match="finite radius"):
        attacked(TIFGSM(), small_net(), images(2), eps=math.inf)
