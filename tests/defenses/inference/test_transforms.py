"""Each transform against its definition, an independent implementation, or brute force."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import median_filter
from scipy.optimize import minimize as minimise_by_scipy

from defenses.inference.inpainter import Inpainter, minimise, objective
from defenses.inference.quilter import Quilter, cut, draw_patches, nearest
from defenses.inference.transforms import Compressor, MedianFilter, Quantizer
from robench.data.images import image_set
from robench.errors import InputError
from robench.model.noise import draw
from tests.truths import images


def training_set(x, **options):
    return image_set(x, torch.zeros(len(x), dtype=torch.int64), split="train", classes=2, **options)


def eight_bit(count, shape=(1, 8, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)


def quilter(**options):
    settings = {"side": 3, "overlap": 1, "neighbours": 3, "seed": 0, **options}
    data = training_set(eight_bit(20))
    patches = draw_patches(data, side=settings["side"], count=200, least=3, seed=0)
    return Quilter(patches, **settings)


def transforms():
    return [
        Quantizer(3),
        Compressor(50),
        Inpainter(weight=0.1, dropout=0.5, iterations=10, seed=0),
        quilter(),
        MedianFilter(2),
    ]


@pytest.mark.parametrize("transform", transforms(), ids=lambda t: type(t).__name__)
def test_an_image_is_transformed_alike_in_every_batch(transform):
    x = images(7, shape=(1, 8, 8))
    whole = transform(x)
    assert torch.equal(torch.cat([transform(x[:3]), transform(x[3:4]), transform(x[4:])]), whole)
    assert torch.equal(transform(x.flip(0)).flip(0), whole)
    assert torch.equal(transform(x), whole)
    assert float(whole.min()) >= 0
    assert float(whole.max()) <= 1
    assert whole.shape == x.shape


@pytest.mark.parametrize("transform", transforms()[:4], ids=lambda t: type(t).__name__)
def test_images_outside_the_box_come_back_into_it(transform):
    result = transform(images(3, shape=(1, 8, 8), low=-0.5, high=1.5))
    assert float(result.min()) >= 0
    assert float(result.max()) <= 1


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_is_its_formula_and_idempotent(bits):
    x = images(5)
    result = Quantizer(bits)(x)
    levels = 2**bits - 1
    assert torch.equal(result, torch.round(x * levels) / levels)
    assert torch.equal(Quantizer(bits)(result), result)
    assert len(result.unique()) <= 2**bits


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_jpeg_is_pillows_round_trip(channels, mode):
    pixels = eight_bit(2, shape=(channels, 16, 16))
    result = Compressor(60)(pixels.float() / 255)
    for image, back in zip(pixels, result, strict=True):
        memory = io.BytesIO()
        planes = image.numpy().transpose(1, 2, 0)
        Image.fromarray(planes.squeeze(2) if channels == 1 else planes).save(memory, "JPEG", quality=60)
        picture = Image.open(memory)
        assert picture.mode == mode
        expected = np.asarray(picture).reshape(16, 16, channels).transpose(2, 0, 1)
        assert np.array_equal((back * 255).round().numpy().astype(np.uint8), expected)


def test_jpeg_codes_other_numbers_of_channels_one_by_one():
    x = images(2, shape=(2, 8, 8))
    whole = Compressor(75)(x)
    assert torch.equal(whole[:, 1:], Compressor(75)(x[:, 1:]))


def test_jpeg_leaves_an_image_that_is_no_number_no_number():
    x = images(2, shape=(1, 8, 8))
    x[0, 0, 0, 0] = torch.nan
    result = Compressor(75)(x)
    assert result[0].isnan().all()
    assert torch.equal(result[1:], Compressor(75)(x[1:]))


@pytest.mark.parametrize("side", [2, 3, 4])
def test_the_median_filter_is_scipys(side):
    x = images(3, shape=(2, 7, 6))
    expected = median_filter(x.numpy(), size=(1, 1, side, side), mode="reflect")
    assert np.array_equal(MedianFilter(side)(x).numpy(), expected)


def test_total_variation_with_everything_kept_and_no_weight_is_the_image():
    x = images(3)
    transform = Inpainter(weight=0.0, dropout=0.0, iterations=5, seed=0)
    assert torch.equal(transform(x), x)


def test_total_variation_lowers_the_objective_with_every_doubling():
    x = images(4, shape=(2, 9, 9))
    mask = (images(4, shape=(2, 9, 9), seed=1) > 0.5).float()
    values = [
        objective(minimise(x, mask, weight=0.1, iterations=n), x, mask, weight=0.1).sum()
        for n in (25, 50, 100, 200)
    ]
    assert values == sorted(values, reverse=True)
    assert (values[0] < objective(x, x, mask, weight=0.1).sum()).all()


@pytest.mark.thorough
def test_total_variation_finds_the_optimum_of_a_general_solver():
    x = images(1, shape=(1, 4, 4), dtype=torch.float64)
    mask = torch.ones_like(x)
    mask[0, 0, 1, 1] = mask[0, 0, 3, 0] = 0
    weight = 0.1

    def smooth(flat):
        """The objective with the norm rounded off by 1e-10: within 1e-5 of it everywhere."""
        z = torch.tensor(flat).view_as(x).requires_grad_(True)
        down = torch.zeros_like(z)
        right = torch.zeros_like(z)
        down[..., :-1, :] = z[..., 1:, :] - z[..., :-1, :]
        right[..., :-1] = z[..., 1:] - z[..., :-1]
        value = (mask * (z - x) ** 2).sum() / 2 + weight * (down**2 + right**2 + 1e-10).sqrt().sum()
        value.backward()
        return value.item(), z.grad.flatten().numpy()

    start = np.full(16, 0.5)
    best = minimise_by_scipy(smooth, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000}).fun
    ours = objective(minimise(x, mask, weight=weight, iterations=1500), x, mask, weight=weight)
    assert float(ours) == pytest.approx(best, abs=3e-5)


def test_a_two_pixel_image_has_a_closed_form():
    # Two kept pixels a < b: both move by the weight towards each other, or meet at the mean.
    x = torch.tensor([[[[0.2, 0.8]]], [[[0.45, 0.55]]]])
    z = minimise(x, torch.ones_like(x), weight=0.1, iterations=500)
    assert torch.allclose(z, torch.tensor([[[[0.3, 0.7]]], [[[0.5, 0.5]]]]), atol=1e-4)


def test_pixels_are_dropped_at_the_rate_asked_for_and_anew_in_every_draw():
    x = torch.full((50, 1, 16, 16), 0.5)
    x += images(50, shape=(1, 16, 16)) * 1e-3  # other images, other noise
    transform = Inpainter(weight=0.0, dropout=0.3, iterations=1, seed=0)
    share = (transform(x) != x).float().mean()
    assert float(share) == pytest.approx(0.3, abs=0.02)
    with draw(1):
        other = transform(x)
    assert not torch.equal(other, transform(x))


def test_a_quilt_of_patches_that_are_all_known_is_the_image():
    pixels = eight_bit(2, shape=(3, 8, 8))
    x = pixels.float() / 255
    windows = pixels.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 27)
    quilt = Quilter(windows.unique(dim=0).float(), side=3, overlap=1, neighbours=1, seed=0)
    assert torch.equal(quilt(x), x)


def test_a_quilt_has_pixels_of_the_chosen_patches_only():
    quilt = quilter(neighbours=1)
    pixels = (quilt(images(2, shape=(1, 8, 8))) * 255).round()
    assert torch.isin(pixels, quilt.get_buffer("patches")).all()


def test_neighbours_are_drawn_evenly_and_anew_in_every_draw():
    quilt = quilter(neighbours=3)
    near = torch.arange(3).expand(400, 9, 3)
    x = images(400, shape=(1, 8, 8))
    choices = []
    quilt._sewn = lambda choice, shape: choices.append(choice) or torch.zeros(shape)
    quilt(x, near)
    with draw(1):
        quilt(x, near)
    shares = choices[0].flatten().bincount(minlength=3) / choices[0].numel()
    assert torch.allclose(shares, torch.full((3,), 1 / 3), atol=0.03)
    assert not torch.equal(*choices)


@pytest.mark.parametrize("shape", [(1, 25), (3, 147)])
def test_nearest_patches_are_those_of_brute_force(shape):
    _, width = shape
    queries, database = eight_bit(40, (1, 1, width)).flatten(1), eight_bit(30, (1, 1, width), 1).flatten(1)
    queries[0], database[5], database[9] = database[3], database[3], database[3]  # ties
    squares = (queries[:, None].long() - database[None].long()).square().sum(dim=2)
    expected = squares.argsort(dim=1, stable=True)[:, :4]
    assert torch.equal(nearest(queries.float(), database.float(), 4), expected)


def test_a_seam_is_the_cheapest_of_all_paths():
    costs = images(6, shape=(5, 3)).squeeze(1)

    def paths(path):
        if len(path) == 5:
            yield path
            return
        for step in (-1, 0, 1):
            if 0 <= path[-1] + step < 3:
                yield from paths([*path, path[-1] + step])

    every = torch.tensor([path for start in range(3) for path in paths([start])])
    for cost, seam in zip(costs, cut(costs), strict=True):
        lines = torch.arange(5)
        totals = cost[lines, every].sum(dim=1)
        assert float(cost[lines, seam].sum()) == pytest.approx(float(totals.min()))
        assert (seam.diff().abs() <= 1).all()


def test_patches_come_from_the_training_images():
    pixels = eight_bit(5, shape=(2, 6, 6))
    patches = draw_patches(training_set(pixels), side=3, count=50, least=1, seed=0)
    windows = pixels.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 18).float()
    assert (torch.cdist(patches, windows).amin(dim=1) == 0).all()
    assert len(patches.unique(dim=0)) == len(patches)
    again = draw_patches(training_set(pixels), side=3, count=50, least=1, seed=0)
    assert torch.equal(again, patches)


def test_training_images_that_will_not_do_are_refused():
    with pytest.raises(InputError, match="at least 9 x 9"):
        draw_patches(training_set(eight_bit(3)), side=9, count=10, least=1, seed=0)
    with pytest.raises(InputError, match="2 different patches"):
        draw_patches(training_set(torch.zeros(3, 1, 8, 8)), side=3, count=10, least=2, seed=0)
