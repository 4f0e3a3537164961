"""Counter-based randomness: a number depends on (seed, image, restart, draw, pixel) and on nothing else.

So batch size, order, sharding, dropped images and resuming never change a result, and no global
generator is touched. The bits come from the SplitMix64 finaliser (Steele, Lea & Flood 2014, section 4)
applied to a key and a counter, in wrapping 64-bit integer arithmetic, alike on every device.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robench.types import SameShape

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def seed_from(*parts: object) -> int:
    """Hash any printable parts into a signed 64-bit seed."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def _shift(value: Tensor, bits: int) -> Tensor:
    """Logical (unsigned) right shift of int64."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mix(value: Tensor) -> Tensor:
    value = (value ^ _shift(value, 30)) * _MIX_1
    value = (value ^ _shift(value, 27)) * _MIX_2
    return value ^ _shift(value, 31)


@dataclass(slots=True)
class Randomness:
    """Independent streams, one per image of a batch.

    Args:
        seed: the job's seed.
        images: (B,) int64 identity of each image (its index in the data set, not in the batch).
        stream: label that separates uses of the same seed, such as a restart number.
    """

    seed: int
    images: Tensor
    stream: tuple[object, ...] = ()
    _draws: int = field(default=0, init=False)

    def split(self, *label: object) -> Randomness:
        """Return fresh streams for a named use; the same label always gives the same streams."""
        return Randomness(self.seed, self.images, (*self.stream, *label))

    def uniform(self, like: SameShape) -> SameShape:
        """Draw uniform numbers in [0, 1), one per entry of `like` (B, ...)."""
        bits = self._bits(like)
        precision = 24 if like.dtype != torch.float64 else 53
        return (_shift(bits, 64 - precision)).to(like.dtype) * 2.0**-precision

    def normal(self, like: SameShape) -> SameShape:
        """Draw standard normal numbers, one per entry of `like` (B, ...), by Box and Muller (1958)."""
        radius = torch.sqrt(-2 * torch.log1p(-self.uniform(like)))
        return radius * torch.cos(2 * math.pi * self.uniform(like))

    def torch_seed(self) -> int:
        """Return a seed for a library that wants one generator for the whole batch."""
        return seed_from(self.seed, *self.stream, *self.images.tolist()) & 0x7FFFFFFF

    def _bits(self, like: Tensor) -> Tensor:
        key = seed_from(self.seed, *self.stream, self._draws)
        self._draws += 1
        images = self.images.to(like.device)
        keys = _mix(_mix(images * _GOLDEN + key) + key)
        width = like[0].numel() if len(like) else 0
        counter = torch.arange(1, width + 1, device=like.device, dtype=torch.int64) * _GOLDEN
        return _mix(keys[:, None] + counter[None, :]).view(like.shape)


@contextmanager
def borrowed_global_randomness(seed: int) -> Iterator[None]:
    """Seed torch's, NumPy's and Python's global generators inside the block and restore them after it.

    Only for calling libraries that draw from the global generators.
    """
    import random

    import numpy as np

    with kept_global_randomness():
        _seed_torch(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the library draws from this very state
        random.seed(seed)
        yield


def _seed_torch(seed: int) -> None:
    """Seed torch's generators: those of devices only where there is one.

    Without a device, `torch.manual_seed` notes the seed for three kinds of them, each time with the whole
    stack as text: up to two milliseconds.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def kept_global_randomness() -> Iterator[None]:
    """Restore torch's, NumPy's and Python's global generators after the block, whoever drew from them."""
    import random

    import numpy as np

    states = (random.getstate(), np.random.get_state())  # noqa: NPY002 - see above
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
