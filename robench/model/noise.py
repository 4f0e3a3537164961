"""Randomness inside a model: noise that depends on an image's content, so a random model is still a function.

A model that draws noise when it classifies would give the same image other outputs in another batch, in
another order, or after a resume. Here the noise is a function of (seed, pixels of the image, draw): one
image always gets the same output, every evaluation can be repeated bit for bit, and an attacker who averages
over draws (expectation over transformation, Athalye et al. 2018, arXiv:1802.00420, section 4)
sees fresh, independent noise with each draw and with each changed pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from robench.randomness import Randomness, borrowed_global_randomness, seed_from
from robench.types import Images, IntPerSample

_DRAW: ContextVar[int] = ContextVar("robench_draw", default=0)
_ODD = 0x5851F42D4C957F2D  # Knuth's multiplier (MMIX)


def content_keys(x: Images) -> IntPerSample:
    """Return one int64 per image (B,) that depends only on the values of all pixels.

    Args:
        x: images (B, C, H, W) of any float type; they are read as float32.
    """
    # Adding zero turns -0.0, which equals 0.0 and must give the same output, into 0.0.
    pixels = (x.detach().to(torch.float32) + 0.0).contiguous()
    bits = pixels.view(torch.int32).flatten(1).to(torch.int64)
    # Odd multipliers are invertible modulo 2**64, so a change of one pixel always changes the sum.
    places = torch.arange(bits.shape[1], device=bits.device, dtype=torch.int64)
    weights = (places * 2 + 1) * _ODD | 1
    hashes = (bits + 0x9E3779B9) * weights
    hashes = (hashes ^ (hashes >> 29)) * _ODD
    return hashes.sum(dim=1)


def noise_of(x: Images, *, seed: int, use: str) -> Randomness:
    """Return the streams of these images (B, C, H, W) for a named use, under the current draw."""
    return Randomness(seed, content_keys(x), (use, _DRAW.get()))


def current_draw() -> int:
    """Return the number of the current draw of random models; 0 outside of every expectation."""
    return _DRAW.get()


def draws(count: int) -> Sequence[int]:
    """Return the draws of an expectation: 1 to `count`, or, inside another expectation, its current draw.

    So a random model inside another one is averaged over `count` joint draws, and not over `count` squared.

    Args:
        count: draws of the outermost expectation, at least 1.
    """
    return (current_draw(),) if current_draw() else range(1, count + 1)


@contextmanager
def draw(number: int) -> Iterator[None]:
    """Inside the block random models use noise number `number`; the model itself classifies with draw 0.

    An attacker's expectation uses draws 1, 2, ...: with draw 0 an attack would see the same noise with which
    the model classifies. The judge's fresh draws are -1, -2, ... (`fresh`), which no expectation uses.
    """
    token = _DRAW.set(number)
    try:
        yield
    finally:
        _DRAW.reset(token)


@contextmanager
def fresh(number: int, seed: int) -> Iterator[None]:
    """Inside the block a model uses noise that no attack has seen: the judge's draw `number`, from 0.

    Random models (`robench.model.noise`) use draw -1 - `number`; for models that draw from the global
    generators these are seeded, and restored afterwards.

    Args:
        number: of the draw, from 0.
        seed: of the global generators, the same for no other batch of images.
    """
    with draw(-1 - number), borrowed_global_randomness(seed_from(seed, "judge", number)):
        yield
