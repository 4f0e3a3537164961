"""Noise inside a model belongs to the image, not to the batch, and is another one for every draw."""

import math

import torch

from robench.model.noise import content_keys, current_draw, draw, draws, noise_of
from tests.truths import images


def noise(x, **options):
    return noise_of(x, **{"seed": 0, "use": "test", **options}).normal(x)


def test_a_key_belongs_to_the_pixels_alone():
    x = images(20)
    keys = content_keys(x)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(content_keys(x[order]), keys[order])
    assert torch.equal(content_keys(x[3:4]), keys[3:4])
    assert torch.equal(content_keys(x.contiguous(memory_format=torch.channels_last)), keys)
    assert torch.equal(content_keys(x.double()), keys)


def test_every_change_of_one_pixel_changes_the_key():
    x = images(1, shape=(2, 5, 5))
    flat = x.flatten()
    variants = flat.repeat(len(flat) * 2, 1)
    for i in range(len(flat)):
        variants[i, i] = torch.nextafter(flat[i], torch.tensor(2.0))
        variants[len(flat) + i, i] = 0.0
    keys = content_keys(torch.cat([x, variants.view(-1, 2, 5, 5)]))
    assert len(keys.unique()) == len(keys)


def test_moving_pixels_changes_the_key():
    x = torch.zeros(16, 1, 4, 4)
    x.view(16, 16).fill_diagonal_(0.5)
    assert len(content_keys(x).unique()) == 16


def test_equal_images_have_equal_keys_whatever_the_sign_of_zero():
    zero = torch.zeros(1, 1, 3, 3)
    assert torch.equal(content_keys(zero), content_keys(-zero))


def test_noise_does_not_depend_on_the_batch():
    x = images(12)
    whole = noise(x)
    assert torch.equal(torch.cat([noise(x[:5]), noise(x[5:])]), whole)
    assert torch.equal(noise(x.flip(0)).flip(0), whole)


def test_seed_use_draw_and_image_each_change_the_noise():
    x = images(2)
    with draw(1):
        next_draw = noise(x)
    draws = [noise(x), noise(x, seed=1), noise(x, use="other"), next_draw]
    together = torch.cat(draws)
    assert len(together.unique(dim=0)) == 8


def test_noise_over_images_is_standard_normal():
    z = noise(images(400)).flatten()
    assert abs(float(z.mean())) < 4 / math.sqrt(len(z))
    assert abs(float(z.var()) - 1) < 4 * math.sqrt(2 / len(z))
    # Kolmogorov-Smirnov distance to the normal distribution, at the 0.1 % level.
    steps = torch.arange(1, len(z) + 1) / len(z)
    distance = (torch.special.ndtr(z.sort().values) - steps).abs().max()
    assert float(distance) < 1.95 / math.sqrt(len(z))


def test_draws_nest_and_end():
    assert current_draw() == 0
    assert list(draws(3)) == [1, 2, 3]
    with draw(2):
        assert list(draws(3)) == [2]
        with draw(0):
            assert current_draw() == 0
        assert current_draw() == 2
    assert current_draw() == 0
