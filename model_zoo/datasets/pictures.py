"""Encoded pictures to uint8 arrays; all errors of decoders become one error."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from robench.errors import InputError
from robench.intake.limits import PIXELS, UNPACKED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    Pixels = NDArray[np.uint8]


_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "PPM", "TIFF", "WEBP")
"""Accepted formats, whatever the file's name: Pillow knows others, one of which (EPS) runs a program."""


def decode(data: bytes, *, where: str, resize: int | None = None, gray: bool = False) -> Pixels:
    """Decode one picture.

    Args:
        data: PNG, JPEG, BMP, GIF, PPM, TIFF or WebP.
        where: the file, for the message.
        resize: side of a square; the picture is scaled (bilinear, with antialiasing) until its shorter side
            fits, and cropped around its centre. None keeps the size.
        gray: one channel instead of three.

    Returns:
        (C, H, W) uint8 in 0..255.

    Raises:
        InputError: not a picture, truncated, gray of more than 8 bits, transparent somewhere, or so large
            that it is likely a decompression bomb.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings(), _pixel_limit():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                PIXELS.check(picture.width * picture.height, where=where)
                if picture.mode.startswith(("I", "F")):  # Pillow would turn nearly all their pixels white
                    got = f"one of more than 8 bits a pixel (mode {picture.mode!r})"
                    do = "Save it with 8 bits"
                    raise InputError(where=where, expected="a picture of 8 bits a pixel", got=got, do=do)
                if _shows_a_background(picture):  # Pillow would show the arbitrary colours below
                    got, do = "one with transparent pixels", "Put it on a background first, such as white"
                    raise InputError(where=where, expected="an opaque picture", got=got, do=do)
                image: Image.Image = picture.convert("L" if gray else "RGB")
    except (
        OSError,
        ValueError,
        SyntaxError,  # Pillow raises it for a broken PNG
        LookupError,
        MemoryError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        struct.error,
        zlib.error,
        ArithmeticError,
        AssertionError,
        AttributeError,
        EOFError,
        RuntimeError,
        TypeError,
    ) as error:
        if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            raise PIXELS.refusal("more", where=where) from error
        got = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            got = f"a file that is none of {', '.join(_FORMATS)}"
        raise InputError(where=where, expected="a readable picture", got=got) from error
    if resize is not None:
        image = ImageOps.fit(image, (resize, resize), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if gray else pixels.transpose(2, 0, 1)


def _shows_a_background(picture: Image.Image) -> bool:
    """Tell whether a pixel is transparent, if only in part."""
    if not picture.has_transparency_data:
        return False
    opaque = (255, 255)
    return picture.convert("RGBA").getchannel("A").getextrema() != opaque


def stacked(pictures: list[Pixels], names: list[str], *, where: str) -> Pixels:
    """Put pictures of one size into one array (N, C, H, W).

    Raises:
        InputError: no pictures, or the sizes differ; names the first picture that differs.
    """
    import numpy as np

    if not pictures:
        raise InputError(where=where, expected="at least one picture", got="none")
    for picture, name in zip(pictures, names, strict=True):
        if picture.shape != pictures[0].shape:
            raise InputError(
                where=where,
                expected=f"pictures of one size, {pictures[0].shape[1:]}",
                got=f"{picture.shape[1:]} in {name}",
                do="Set the option `resize`, pixels a side (--set dataset.options.resize=...)",
            )
    UNPACKED.check(pictures[0].nbytes * len(pictures), where=where)
    return np.stack(pictures)


@contextmanager
def _pixel_limit() -> Iterator[None]:
    """Set our limit in Pillow, whose decoders check it too."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = PIXELS.value()
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
