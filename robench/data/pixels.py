"""Pixels, checked once: which images are accepted, and which are refused with the likely remedy."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from robench.data.arrays import own_array
from robench.errors import InputError
from robench.types import StoredImages

_LOG = logging.getLogger(__name__)

ROUNDING = 1e-4
"""How far outside [0, 1] a pixel may lie and be clipped. Undoing a normalisation in float32 errs by about
1e-6; 1e-4 is a fortieth of a step between two 8-bit levels, so clipping changes no picture and is small
compared with usual radii, while images with a forgotten normalisation are never that close to the box."""

MOST_COPIES = 0.02
"""Share of the images that may be copies of others without a warning."""

ROUNDING_HALF = 1e-3
"""The same for float16, whose next number after 1 is 1.00098: a quarter of an 8-bit step."""


def read_images(images: object, *, where: str, labels: int = -1) -> StoredImages:
    """Return checked images (N, C, H, W), in memory of their own.

    Args:
        images: uint8 in 0..255 or float in [0, 1]; if a rounding error outside, clipped with a warning.
        where: the data set, for messages.
        labels: number of their labels, which helps to recognise the layout; -1 if unknown.

    Raises:
        InputError: not numbers, another layout or type, empty, not finite, or outside [0, 1].
    """
    values = own_array(images, where=where, what="images")
    _check_layout(values.shape, labels, where)
    if values.dtype != "uint8" and values.dtype.kind != "f" and values.size:
        _refuse_integers(str(values.dtype), int(values.min()), int(values.max()), where)
    pixels = torch.from_numpy(values)
    if pixels.numel():
        _clip(pixels, where)
    check_images(pixels, where=where)
    _note_darkness(pixels, where)
    return pixels


def check_images(
    images: StoredImages, *, where: str = "images", bounds: tuple[float, float] = (0.0, 1.0)
) -> None:
    """Refuse images an attack must never see.

    Raises:
        InputError: empty, not (N, C, H, W), not uint8 or float, NaN or infinite, or outside `bounds`.
    """
    if images.ndim != 4:
        raise InputError(where=where, expected="images of shape (N, C, H, W)", got=str(tuple(images.shape)))
    if images.numel() == 0:
        raise InputError(where=where, expected="at least one image", got="none", do="Check split and limit")
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise InputError(
            where=where,
            expected="uint8 images in 0..255 or float images in [0, 1]",
            got=str(images.dtype),
            do="Convert them to uint8",
        )
    finite = torch.isfinite(images.flatten(1)).all(dim=1)
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        raise InputError(where=where, expected="finite pixels", got=f"NaN or infinity in image {bad}")
    low, high = float(images.min()), float(images.max())
    if low < bounds[0] or high > bounds[1]:
        got = f"values from {_digits(low, bounds)} to {_digits(high, bounds)}"
        expected = f"pixels in [{bounds[0]:g}, {bounds[1]:g}]"
        raise InputError(where=where, expected=expected, got=got, do=_back_into_the_box(low, high))


def _back_into_the_box(low: float, high: float) -> str:
    undo = "ndo the normalisation: it belongs into the model, as its first layer"
    if low >= 0 and 2 < high <= 255:
        return "Divide by 255, or pass uint8"
    if low >= 0 and 255 < high <= 65535:
        return "Divide by the value of white, such as 65535 for 16 bits"
    if low > -0.25 and high < 1.25:
        return f"Clip them if resizing overshot, as bicubic does; else u{undo}"
    return f"U{undo}"


def _digits(value: float, bounds: tuple[float, float]) -> str:
    """Return a value with four digits, or with all digits if four would round it into the box."""
    short = f"{value:.4g}"
    inside = bounds[0] <= value <= bounds[1]
    return short if inside or not bounds[0] <= float(short) <= bounds[1] else repr(value)


def _check_layout(shape: tuple[int, ...], labels: int, where: str) -> None:
    """Refuse other layouts than (N, C, H, W) if they can be recognised, and say how to convert them."""
    layout, do = "", ""
    match shape:
        case (n, _, _, last) if last == labels != n:
            layout, do = "(H, W, C, N), as MATLAB writes", _transposed(3, 2, 0, 1)
        case (_, height, width, 1 | 3 | 4) if height > 4 and width > 4:
            layout, do = "(N, H, W, C)", _transposed(0, 3, 1, 2)
        case (_, _, _, _):
            return
        case (n, 1 | 3, _) | (n, _, 1 | 3) if labels == 1 != n:
            layout, do = "one image", "Add the axis of images: `images[None]`, channels first"
        case (1 | 3, _, _) if labels == 1:
            layout, do = "(C, H, W), one image", "Add the axis of images: `images[None]`"
        case (_, _, _):
            layout, do = "(N, H, W)", "Add the axis of channels: `images[:, None]`"
        case (_, width) if width:
            side = math.isqrt(
                width // 3 if width % 3 == 0 and math.isqrt(width // 3) ** 2 == width // 3 else width
            )
            sizes = f"{width // side**2}, {side}, {side}" if side and width % side**2 == 0 else "C, H, W"
            layout, do = "flat images", f"Give them their shape: `images.reshape(-1, {sizes})`"
    got = f"{tuple(shape)}, which looks like {layout}" if layout else str(tuple(shape))
    raise InputError(where=where, expected="images of shape (N, C, H, W)", got=got, do=do)


def _transposed(*axes: int) -> str:
    order = ", ".join(map(str, axes))
    return f"Transpose them: `images.transpose({order})`, or `permute` in torch"


def _refuse_integers(dtype: str, low: int, high: int, where: str) -> None:
    """Refuse integers and booleans: their value of white cannot be known."""
    if low >= 0 and high <= 1:
        do = "Cast them to float32 if 1 is white"
    elif low >= 0 and high <= 255:
        do = "Cast them to uint8 if 255 is white, or divide by what is"
    else:
        do = "Divide by the value of white, as floats"
    raise InputError(
        where=where,
        expected="uint8 images in 0..255 or float images in [0, 1]",
        got=f"{dtype} from {low} to {high}",
        do=do,
    )


def _clip(pixels: Tensor, where: str) -> None:
    """Clip pixels a rounding error outside [0, 1], in place, and say so; others are left to be refused."""
    if not pixels.is_floating_point():
        return
    low, high = float(pixels.min()), float(pixels.max())
    slack = ROUNDING_HALF if pixels.dtype == torch.float16 else ROUNDING
    if (low >= 0 and high <= 1) or not (low >= -slack and high <= 1 + slack):
        return
    outside = (pixels < 0) | (pixels > 1)
    count, images = int(outside.sum()), int(outside.flatten(1).any(dim=1).sum())
    count_text = f"{count} pixel{'s' * (count != 1)} of {images} image{'s' * (images != 1)}"
    text = "%s: %s a rounding error outside [0, 1] clipped (values were from %.9g to %.9g)"
    _LOG.warning(text, where, count_text, low, high)
    pixels.clamp_(0, 1)


def note_copies(pixels: StoredImages, *, where: str) -> None:
    """Say that images are there several times: whatever is counted takes each for another one.

    Args:
        pixels: images (N, C, H, W) to evaluate on.
        where: the data set.
    """
    rows = pixels.contiguous().flatten(1).numpy()
    count = len({hash(row.tobytes()) for row in rows})
    if len(rows) - count > MOST_COPIES * len(rows):
        text = (
            "%s: only %d of %d images are different: intervals, ranks and p values take copies for images too"
        )
        _LOG.warning(text, where, count, len(rows))


def _note_darkness(pixels: Tensor, where: str) -> None:
    """Say that no image is brighter than one 8-bit level: another scale was meant, most likely."""
    high = float(pixels.max())
    if pixels.dtype == torch.uint8 and high == 1:
        text = "%s: no pixel is above 1 of 255, almost black: if 1 is white, pass the images as floats"
        _LOG.warning(text, where)
    elif pixels.is_floating_point() and 0 < high <= 1.001 / 255:
        _LOG.warning("%s: no pixel is above %.2g, almost black: divided by 255 twice?", where, high)
