"""Images that were learned from are recognised to the pixel, whatever type they are kept in."""

import pytest
import torch

from robench.data.images import image_set
from robench.data.seen_images import SeenImages


def pictures(count=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return image_set(pixels, torch.arange(count) % 2, split="train", classes=2)


def test_copies_are_counted_in_any_order():
    data = pictures()
    assert SeenImages(data).count(data.subset(torch.arange(19, -1, -2))) == 10
    assert SeenImages(data).count(pictures(seed=1)) == 0
    assert SeenImages().count(data) == 0


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16])
def test_the_type_that_pixels_are_kept_in_does_not_matter(kind):
    data = pictures()
    as_numbers = image_set((data.images.double() / 255).to(kind), data.labels, classes=2)
    assert SeenImages(data).count(as_numbers) == SeenImages(as_numbers).count(data) == 20


def test_the_same_bytes_in_another_shape_are_another_image():
    data = pictures()
    other = image_set(data.images.reshape(20, 1, 2, 8), data.labels, split="train", classes=2)
    assert SeenImages(data).count(other) == 0


def test_images_without_a_label_taught_nothing_and_sets_add_up():
    data = pictures()
    half = data.withholding(torch.arange(10))
    assert SeenImages(half).count(data) == 10
    assert (SeenImages(half) | SeenImages(data.subset(slice(0, 4)))).count(data) == 14
    assert SeenImages(half, data).count(data) == 20
